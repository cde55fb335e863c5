// Builds the package: dist/, the library, by tsc; bundle/, the command line, by bundle.mjs; and oclif's manifest. Does nothing if the
// outputs exist and no input has changed. Commands may run during a build: each complete file is moved into place. The command line's files
// are in a folder named after their content, which is kept until the next build but one.
//    node scripts/build.mjs [--pack]   --pack: removes the outputs of earlier builds
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'

const MADE_OF = ['src/**/*', 'scripts/*', 'tsconfig*.json', 'package.json', 'package-lock.json']
const BUILT = '.built.json'

process.chdir(resolve(import.meta.dirname, '..'))
const pack = process.argv.includes('--pack')
const last = readLast()
const key = keyOf()

if (last?.key === key && last.files.every((file) => existsSync(file))) {
  process.stdout.write('dist/ and bundle/ are up to date\n')
  removeOthers(last.files, pack ? [key] : [key, last.before])
} else {
  // hidden from other tools, on the same disk
  const stage = mkdtempSync('node_modules/.build-')
  try {
    build(stage)
    const files = put(stage)
    removeOthers(files, pack ? [key] : [key, last?.key])
    write(BUILT, JSON.stringify({ key, before: last?.key, files }))
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

function readLast() {
  try {
    return JSON.parse(readFileSync(BUILT, 'utf8'))
  } catch {
    // no complete build exists
    return undefined
  }
}

function keyOf() {
  const hash = createHash('sha256').update(process.version)
  for (const file of filesOf(MADE_OF)) {
    hash.update(`\n${file}\n`).update(readFileSync(file))
  }
  return hash.digest('hex').slice(0, 12)
}

function build(stage) {
  const run = (file, args) => {
    const { status } = spawnSync(process.execPath, [file, ...args], { stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) {
      throw new Error(`${file} failed: dist/ and bundle/ are as they were`)
    }
  }
  run('node_modules/typescript/bin/tsc', ['-p', 'tsconfig.build.json', '--outDir', join(stage, 'dist')])
  run('scripts/bundle.mjs', [join(stage, 'bundle'), key])
  // oclif reads the package's commands
  writeFileSync(join(stage, 'package.json'), readFileSync(join(stage, 'bundle', key, 'package.json')))
  run('node_modules/oclif/bin/run.js', ['manifest', resolve(stage)])
}

/** Moves all files into place; files that refer to other files come last. */
function put(stage) {
  const files = filesOf(['dist/**/*', 'bundle/**/*.{cjs,map}', 'oclif.manifest.json'], stage)
  const isEntry = (file) => basename(dirname(file)) === 'bundle' || file === 'oclif.manifest.json'
  for (const file of [...files.filter((each) => !isEntry(each)), ...files.filter(isEntry)]) {
    mkdirSync(dirname(file), { recursive: true })
    renameSync(join(stage, file), file)
  }
  return files
}

/** Removes the outputs of earlier builds, except the command lines with these keys. */
function removeOthers(files, keys) {
  const kept = new Set(files)
  for (const file of filesOf(['dist/**/*', 'bundle/*']).filter((each) => !kept.has(each))) {
    rmSync(file)
  }
  for (const folder of readdirSync('bundle', { withFileTypes: true })) {
    if (folder.isDirectory() && !keys.includes(folder.name)) {
      rmSync(join('bundle', folder.name), { recursive: true })
    }
  }
}

function write(file, text) {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

function filesOf(patterns, cwd = '.') {
  return globSync(patterns, { cwd, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(cwd, join(entry.parentPath, entry.name)))
    .sort()
}
