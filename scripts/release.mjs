// npm run release: makes release/ with what people install: the package (.tgz), one executable for this platform, and a Debian package where dpkg-deb is.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { inject } from 'postject'

/** Node looks for this in its own executable. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
const DEBIAN_ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' }
/** What the executable needs of the system, by the names that Debian gives it. */
const DEBIAN_NEEDS = 'libc6, libstdc++6, libgcc-s1'
const LICENCE_FILES = /^(licen[cs]e|copying|notice)([-.].*)?$/i

process.chdir(resolve(import.meta.dirname, '..'))
const { name, version, description, bin } = JSON.parse(readFileSync('package.json', 'utf8'))
const [command] = Object.keys(bin)
const out = resolve('release')
const stage = mkdtempSync(join(tmpdir(), 'subnet-release-'))
const run = (file, ...args) => execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

try {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  run(process.execPath, 'scripts/build.mjs', '--pack')
  const packed = join(out, JSON.parse(run('npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', out))[0].filename)
  const binary = join(out, `${command}-${version}-${process.platform}-${process.arch}`)
  await makeBinary(packed, binary)
  const debian = makeDebian(binary)
  for (const file of [packed, binary, debian].filter((each) => each != null)) {
    process.stdout.write(`${relative('.', file)}  ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB\n`)
  }
  if (debian == null) {
    process.stdout.write('no Debian package: dpkg-deb is not here, or Debian has no such architecture\n')
  }
} finally {
  rmSync(stage, { recursive: true, force: true })
}

/** A copy of this Node that runs our main script, with all files as assets. See https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html */
async function makeBinary(packed, binary) {
  const main = join(stage, 'main.cjs')
  const library = join(stage, 'library.cjs')
  const inputs = [
    ...(await bundle({ entryPoints: ['scripts/binary-main.mjs'] }, main)),
    ...(await bundle({ stdin: { contents: libraryEntries(), resolveDir: '.' } }, library)),
    // of each package in the command line, one source is in a map
    ...globSync('bundle/**/*.map').flatMap((map) =>
      JSON.parse(readFileSync(map, 'utf8')).sources.map((source) => join(dirname(map), source)),
    ),
  ]
  const licences = join(stage, 'licences.txt')
  writeFileSync(licences, licencesOf(inputs))
  const code = globSync('bundle/**/*.cjs').map((file) => [file, withOwnImport(file)])
  const files = [
    ...globSync('templates/**/*', { withFileTypes: true })
      .filter((each) => each.isFile())
      .map((each) => join(each.parentPath, each.name)),
  ]
  const config = {
    main,
    output: join(stage, 'blob'),
    disableExperimentalSEAWarning: true,
    useCodeCache: false,
    assets: {
      ...Object.fromEntries([...code, ...[...files, 'oclif.manifest.json'].map((file) => [file, file])]),
      'library.cjs': library,
      'package.tgz': packed,
      'THIRD-PARTY-LICENSES.txt': licences,
    },
  }
  writeFileSync(join(stage, 'sea.json'), JSON.stringify(config))
  run(process.execPath, '--experimental-sea-config', join(stage, 'sea.json'))
  copyFileSync(process.execPath, binary)
  chmodSync(binary, 0o755)
  // its symbols are of no use here, and make the next step take a minute
  if (isHere('strip')) {
    run('strip', binary)
  }
  // it tells of sections that it does not know
  const { warn } = console
  console.warn = () => undefined
  await inject(binary, 'NODE_SEA_BLOB', readFileSync(config.output), { sentinelFuse: FUSE })
  console.warn = warn
}

/** A file of the command line that imports the files of users as `binary-main.mjs` lets it. Gives where it is. */
function withOwnImport(file) {
  const copy = join(stage, file)
  mkdirSync(dirname(copy), { recursive: true })
  writeFileSync(copy, readFileSync(file, 'utf8').replaceAll('await import(', 'await __import('))
  return copy
}

/** What a module of a user imports of this package. */
function libraryEntries() {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
  const entries = Object.entries(exports).filter(([, target]) => typeof target === 'object')
  return [
    ...entries.map(([, target], index) => `import * as entry${index} from '${target.default}'`),
    `export const ENTRIES = { ${entries.map(([path], index) => `'${join(name, path)}': entry${index}`).join(', ')} }`,
  ].join('\n')
}

async function bundle(entry, outfile) {
  const { metafile } = await build({
    ...entry,
    outfile,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    mainFields: ['module', 'main'],
    external: ['typescript'],
    define: { 'import.meta.url': '__url' },
    banner: { js: 'const __url = require("node:url").pathToFileURL(process.execPath).href;' },
    metafile: true,
    logLevel: 'error',
  })
  return Object.keys(metafile.inputs)
}

/** The licence of each package, with its name and version. @param inputs files of packages, and others */
function licencesOf(inputs) {
  const folders = new Set(
    inputs
      .map((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1])
      .filter((each) => each != null && existsSync(join(each, 'package.json'))),
  )
  const texts = new Map()
  for (const folder of folders) {
    const own = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const said = globSync('*', { cwd: folder })
      .filter((file) => LICENCE_FILES.test(file))
      .map((file) => readFileSync(join(folder, file), 'utf8').trim())
    texts.set(`${own.name} ${own.version}`, [`${own.name} ${own.version}: ${own.license ?? 'see below'}`, ...said].join('\n\n'))
  }
  const node = `Node.js ${process.versions.node}: MIT, and for what it contains https://github.com/nodejs/node/blob/${process.version}/LICENSE`
  return `${[node, ...[...texts].sort().map(([, text]) => text)].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

/** The executable, its licences, its man page, completion for bash, and the unit of systemd. */
function makeDebian(binary) {
  const architecture = DEBIAN_ARCHITECTURES[process.arch]
  if (process.platform !== 'linux' || architecture == null || !isHere('dpkg-deb')) {
    return undefined
  }
  const root = join(stage, 'debian')
  const put = (path, write) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    write(join(root, path))
  }
  put(`usr/bin/${command}`, (file) => copyFileSync(binary, file))
  put(`usr/share/doc/${name}/copyright`, (file) => writeFileSync(file, `${readFileSync('LICENSE', 'utf8')}\n${run(binary, '--licenses')}`))
  put(`usr/share/bash-completion/completions/${command}`, (file) => writeFileSync(file, run(binary, 'completion', 'bash')))
  // Debian wants them compressed, without a time in them
  put(`usr/share/man/man1/${command}.1.gz`, (file) => writeFileSync(file, gzipSync(readFileSync(`man/${command}.1`), { level: 9 })))
  for (const unit of globSync('deploy/systemd/*.service')) {
    put(`usr/lib/systemd/system/${basename(unit)}`, (file) => copyFileSync(unit, file))
  }
  const control = {
    Package: name,
    Version: version,
    Architecture: architecture,
    Maintainer: `the ${name} authors <root@localhost>`,
    'Installed-Size': Math.ceil(statSync(binary).size / 1024),
    Depends: DEBIAN_NEEDS,
    Section: 'net',
    Priority: 'optional',
    Description: description,
  }
  const lines = Object.entries(control).map(([key, value]) => `${key}: ${value}\n`)
  put('DEBIAN/control', (file) => writeFileSync(file, lines.join('')))
  const debian = join(out, `${name}_${version}_${architecture}.deb`)
  run('dpkg-deb', '-Zgzip', '--build', '--root-owner-group', root, debian)
  return debian
}

function isHere(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}
