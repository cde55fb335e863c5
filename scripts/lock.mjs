// Creates package-lock.json from scratch. A registry mirror may lack the binaries of other platforms; npm then leaves the binaries out of
// the lock, and `npm ci` rejects it. This script adds them by name and version: npm skips them here and installs them on their platform.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const PROCESSORS = {
  arm64: 'arm64',
  x64: 'x64',
  ia32: 'ia32',
  armv7: 'arm',
  arm: 'arm',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
}

/** The platform of a package such as `binding-linux-arm64-musl`, from its name. */
function platformOf(name) {
  const words = name.split('/').at(-1).split('-')
  const os = SYSTEMS.find((system) => words.includes(system))
  const cpu = Object.keys(PROCESSORS).find((processor) => words.includes(processor))
  if (os == null || cpu == null) {
    throw new Error(`${name} is missing, and its name says no platform`)
  }
  const libc = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : os === 'linux' ? { libc: ['glibc'] } : {}
  return { os: [os], cpu: [PROCESSORS[cpu]], ...libc }
}

const folder = mkdtempSync(join(tmpdir(), 'lock-'))
try {
  for (const file of ['package.json', '.npmrc']) {
    cpSync(file, join(folder, file))
  }
  execFileSync('npm', ['install', '--package-lock-only', '--ignore-scripts'], { cwd: folder, stdio: 'inherit' })
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  for (const { optionalDependencies = {}, dev } of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      lock.packages[`node_modules/${name}`] ??= { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true }
    }
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
