// Builds the Go peer of these tests, once. Where that cannot be done: one line on stderr, exit code 77.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type BuiltPeer, makeProgram } from './built-peer.ts'
import { makeOrSay, run } from './cannot-run.ts'

const folder = fileURLToPath(new URL('go', import.meta.url))
/** The Go that is there is the one that builds: none is downloaded. */
const SETTINGS = { GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly -buildvcs=false -trimpath', CGO_ENABLED: '0' }

export const GO_PEER: BuiltPeer = {
  name: 'go',
  folder,
  sources: '{*.go,go.mod,go.sum}',
  toolchain: async () => `${await go(['version'], 'there is no Go')} ${JSON.stringify(SETTINGS)}`,
  fetch: async () => go(['mod', 'download'], 'the modules of the Go peer cannot be had'),
  build: async (program) => {
    await go(['vet', '.'], 'go vet')
    await go(['build', '-o', program, '.'], 'go build')
  },
}

async function go(args: string[], what: string): Promise<string> {
  return run('go', args, what, { cwd: folder, env: { ...process.env, ...SETTINGS } })
}

/** "go1.26.8 linux/amd64, go-libp2p v0.51.0, …": the modules of libp2p that are asked for. */
async function versions(): Promise<string> {
  const direct = (await readFile(`${folder}/go.mod`, 'utf8')).matchAll(/^\tgithub\.com\/libp2p\/(\S+ \S+)$/gm)
  const version = (await go(['version'], 'there is no Go')).replace('go version ', '')
  return [version, ...Array.from(direct, ([, module]) => module)].join(', ')
}

if (import.meta.main) {
  await makeOrSay(async () => {
    await makeProgram(GO_PEER)
    return versions()
  })
}
