// What npm run release made, as people would use it: the executable in a root that has nothing but the libraries of C and C++, and the Debian package.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const root = mkdtempSync(join(tmpdir(), 'subnet-bare-'))
const ENV = { PATH: process.env.PATH, HOME: '/tmp' }
const release = resolve('release')
const [binary] = globSync(join(release, `subnet-${version}-*`))
const text = (file, ...args) => execFileSync(file, args, { encoding: 'utf8' })
const handler = 'export default ({ payload }) => new TextEncoder().encode(new TextDecoder().decode(payload).toUpperCase())\n'
const protocol = `import { ProtocolBase, type ProtocolHost } from 'subnet-cli'
import { newPeer } from 'subnet-cli/testing'
const bytes = { encode: (message: Uint8Array) => message, decode: (message: Uint8Array) => message }
export default class Check extends ProtocolBase<Uint8Array, Uint8Array> {
  constructor (node: ProtocolHost) {
    super(node, { id: '/check/1.0.0', request: bytes, response: bytes })
  }
  protected async handleRequest (): Promise<Uint8Array> {
    return new TextEncoder().encode(typeof newPeer)
  }
}
`

if (spawnSync('unshare', ['--map-root-user', 'chroot', '/', 'true']).status !== 0) {
  process.stdout.write('not run: the executable in a bare root: no user namespaces here\n')
} else {
  try {
    await inBareRoot()
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
const [debian] = globSync(join(release, '*.deb'))
if (debian == null) {
  process.stdout.write('not run: the Debian package: dpkg-deb is not here\n')
} else {
  const files = text('dpkg-deb', '--contents', debian)
  check(/ \.\/usr\/bin\/subnet\n/.test(files), 'the Debian package has the command')
  check(/ \.\/usr\/share\/man\/man1\/subnet\.1\.gz\n/.test(files), 'the Debian package has the man page')
}

async function inBareRoot() {
  mkdirSync(join(root, 'tmp'))
  put(binary, '/subnet')
  for (const [library] of text('ldd', binary).matchAll(/\/\S+/g)) {
    put(library, library)
  }
  check(subnet('--version').includes(version), 'the executable says its version')
  check(subnet('--licenses').includes('@bufbuild/protobuf'), 'the licences of others are inside')
  writeFileSync(join(root, 'tmp', 'upper.mjs'), handler)
  writeFileSync(join(root, 'tmp', 'protocol.ts'), protocol)
  const modules = ['--handler', '/tmp/upper.mjs', '--protocol', '/tmp/protocol.ts']
  const node = spawn(...inside('start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0', '--home', '/tmp/node', ...modules), {
    env: ENV,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface(node.stdout)) {
    const { event, multiaddrs } = JSON.parse(line)
    if (event === 'ready') {
      check(subnet('send-task', multiaddrs[0], '--text', 'hello', '--home', '/tmp/caller') === 'HELLO', 'a first task is answered')
      const protocols = JSON.parse(subnet('protocol', 'list', multiaddrs[0], '--home', '/tmp/caller', '--json'))
      check(JSON.stringify(protocols).includes('/check/1.0.0'), 'a protocol of a module is served')
      subnet('stop', '--home', '/tmp/node')
    }
  }
  const { files } = JSON.parse(subnet('protocol', 'new', 'greet', '--json'))
  const template = globSync('templates/protocol/**/*', { withFileTypes: true }).filter((entry) => entry.isFile())
  check(
    files.length === template.length + 1,
    `a new protocol has the ${template.length} files of the template, and the package that it needs`,
  )
}

function inside(...args) {
  return ['unshare', ['--map-root-user', '--', 'chroot', root, '/subnet', ...args]]
}

function subnet(...args) {
  const [file, all] = inside(...args)
  return execFileSync(file, all, { encoding: 'utf8', env: ENV })
}

function put(file, path) {
  mkdirSync(join(root, dirname(path)), { recursive: true })
  copyFileSync(file, join(root, path))
}

function check(holds, what) {
  if (!holds) {
    throw new Error(`not so: ${what} (${basename(binary)})`)
  }
  process.stdout.write(`${what}\n`)
}
