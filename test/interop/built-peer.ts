import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { glob, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { constants, homedir, setPriority } from 'node:os'
import { dirname, join } from 'node:path'
import { CannotRun } from './cannot-run.ts'

/** Keeps the programs outside of the clone, so that a new clone builds nothing. It may be removed at any time. */
export const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'subnet-interop')

/** A program with its sources in this repository. */
export interface BuiltPeer {
  /** The stack: "go". */
  name: string
  /** The folder of the sources, and a pattern for the files in it. */
  folder: string
  sources: string
  /** The compiler's version and settings. @throws CannotRun where there is no compiler */
  toolchain: () => Promise<string>
  /** Downloads the dependencies. @throws CannotRun where that fails */
  fetch: () => Promise<unknown>
  /** Compiles, and writes the program to this path. */
  build: (program: string) => Promise<unknown>
}

/** The program's path: another one for each state of the sources and the compiler. @throws CannotRun where there is no compiler */
export async function programOf({ name, folder, sources, toolchain }: BuiltPeer): Promise<string> {
  const hash = createHash('sha256').update(await toolchain())
  for (const source of (await Array.fromAsync(glob(sources, { cwd: folder }))).sort()) {
    hash.update(`${source}\n`).update(await readFile(join(folder, source)))
  }
  return join(CACHE, `${name}-${hash.digest('hex').slice(0, 16)}`, 'peer')
}

const found = new Map<BuiltPeer, Promise<string>>()

/** The path of a program that was built. It is looked for once in a process. @throws Error where it was not built */
export async function builtProgram(peer: BuiltPeer): Promise<string> {
  const path = found.get(peer) ?? programOf(peer)
  found.set(peer, path)
  if (!existsSync(await path)) {
    throw new Error(`there is no ${peer.name} peer of these sources: npm run test:interop -- ${peer.name} builds it`)
  }
  return path
}

/** Builds the program at low priority, unless it is there. @throws CannotRun; Error where the sources do not compile */
export async function makeProgram(peer: BuiltPeer): Promise<void> {
  const program = await programOf(peer)
  if (existsSync(program)) {
    return
  }
  setPriority(constants.priority.PRIORITY_LOW)
  await mkdir(CACHE, { recursive: true })
  const folder = await mkdtemp(join(CACHE, 'making-'))
  try {
    await peer.fetch()
    await compile(peer, join(folder, 'peer'))
    // another run may have been faster, with the same program
    await rename(folder, dirname(program)).catch((error: NodeJS.ErrnoException) => {
      if (!existsSync(program)) {
        throw error
      }
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws Error, not CannotRun, where sources do not compile: those are ours */
async function compile({ name, build }: BuiltPeer, program: string): Promise<void> {
  try {
    await build(program)
  } catch (error) {
    throw error instanceof CannotRun ? new Error(`the ${name} peer does not compile`, { cause: error.cause }) : error
  }
}
