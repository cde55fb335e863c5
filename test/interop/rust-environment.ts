// Builds the Rust peer of these tests, once. That takes minutes: it is done only where INTEROP=all asks for it. Where it cannot be done, or was
// neither asked for nor done before: one line on stderr, exit code 77.
import { existsSync } from 'node:fs'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuiltPeer, CACHE, makeProgram, programOf } from './built-peer.ts'
import { CannotRun, makeOrSay, run } from './cannot-run.ts'

const folder = fileURLToPath(new URL('rust', import.meta.url))
/** The crates stay there as they were compiled: where only the peer's own sources change, a build takes seconds. */
const TARGET = join(CACHE, 'rust-target')

export const RUST_PEER: BuiltPeer = {
  name: 'rust',
  folder,
  sources: '{src/*.rs,Cargo.toml}',
  toolchain: async () => rustc('--version', '--verbose'),
  fetch: async () => cargo(['fetch'], 'the crates of the Rust peer cannot be had'),
  build: async (program) => {
    await cargo(['build', '--offline'], 'cargo build')
    await copyFile(join(TARGET, 'debug', 'rust-peer'), program)
    await copyFile(join(folder, 'Cargo.lock'), lockOf(program))
  },
}

async function rustc(...args: string[]): Promise<string> {
  return run('rustc', args, 'there is no Rust', { cwd: folder })
}

async function cargo(args: string[], what: string): Promise<string> {
  const env = { ...process.env, CARGO_TARGET_DIR: TARGET, CARGO_TERM_COLOR: 'never' }
  return run('cargo', args, what, { cwd: folder, env })
}

/** What cargo chose when it built the program. The file is none of the sources: each of its crates has the address of a registry. */
function lockOf(program: string): string {
  return `${program}.lock`
}

/** "rustc 1.95.0 (…), libp2p 0.57.1, …": of the crates, those that speak libp2p. */
async function versions(): Promise<string> {
  const lock = await readFile(lockOf(await programOf(RUST_PEER)), 'utf8')
  const crates = lock.matchAll(/^name = "(libp2p(?:-stream)?|yamux)"\nversion = "(\S+)"$/gm)
  return [await rustc('--version'), ...Array.from(crates, ([, crate, version]) => `${crate} ${version}`)].join(', ')
}

if (import.meta.main) {
  await makeOrSay(async () => {
    if (process.env['INTEROP'] !== 'all' && !existsSync(await programOf(RUST_PEER))) {
      throw new CannotRun('the Rust peer is not built, which takes minutes: INTEROP=all builds it')
    }
    await makeProgram(RUST_PEER)
    return versions()
  })
}
