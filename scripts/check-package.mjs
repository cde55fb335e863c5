// Packs the package, installs it into an empty project, and uses it there from TypeScript, from plain JavaScript and by its command; then
// makes a project with "subnet protocol new", and installs and tests that too. Needs the registry, as `npm ci` does.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const repo = join(import.meta.dirname, '..')
const { version, devDependencies } = JSON.parse(readFileSync(join(repo, 'package.json'), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'subnet-package-'))

function run(cwd, command, ...args) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  } catch (error) {
    process.stderr.write(error.stdout ?? '')
    throw error
  }
}

try {
  const [{ filename, unpackedSize }] = JSON.parse(run(repo, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  const wanted = ['typescript', '@types/node'].map((name) => `${name}@${devDependencies[name]}`)
  run(folder, 'npm', 'install', '--no-audit', '--no-fund', `./${filename}`, ...wanted)

  for (const file of ['consumer.js', 'consumer.ts']) {
    cpSync(join(repo, 'test', 'package', file), join(folder, file))
    run(folder, process.execPath, file)
  }
  const strict = [
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
    '--verbatimModuleSyntax',
    '--erasableSyntaxOnly',
  ]
  run(folder, 'npx', 'tsc', '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', ...strict, 'consumer.ts')
  const { version: told } = JSON.parse(run(folder, process.execPath, 'node_modules/subnet-cli/bin/run.js', '--version', '--json'))
  if (!JSON.stringify(told).includes(version)) {
    throw new Error(`the installed command says that it is ${JSON.stringify(told)}, not ${version}`)
  }
  if (!readFileSync(join(folder, 'node_modules/subnet-cli/man/subnet.1'), 'utf8').includes('.TH SUBNET 1')) {
    throw new Error('the installed package has no man page')
  }
  process.stdout.write(
    `installed ${filename} (${(unpackedSize / 2 ** 20).toFixed(1)} MiB): works from TypeScript, JavaScript and as a command\n`,
  )

  run(folder, process.execPath, 'node_modules/subnet-cli/bin/run.js', 'protocol', 'new', 'greet-all')
  const made = join(folder, 'greet-all')
  run(made, 'npm', 'install', '--no-audit', '--no-fund')
  run(made, 'npm', 'test')
  process.stdout.write('subnet protocol new greet-all && npm install && npm test: passes\n')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
