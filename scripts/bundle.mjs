// Bundles the command line: main.cjs finds the command and shows help. In a folder beside it, commands.cjs has all commands, and what is imported where
// it is used (libp2p, the control socket's client, questions) is in files of its own. Few files: finding each costs a millisecond. The
// library stays as tsc made it, in dist/.
//   node scripts/bundle.mjs OUT FOLDER
import crypto from 'node:crypto'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, dirname, join, relative, sep } from 'node:path'
import { build } from 'esbuild'
import { readBarrels, withDirectImports } from './past-barrels.mjs'
import { Patches } from './patches.mjs'

const [out, folder] = process.argv.slice(2)
const MAIN = 'main.cjs'
/** Where all but `main.cjs` lies in the end. */
const FINAL = join('bundle', folder)
/** Where the root of the package finds them. */
const COMMANDS = `./bundle/${folder}/commands.cjs`
const packageData = packageOf(JSON.parse(readFileSync('package.json', 'utf8')))
const SELDOM_USED = ['child_process', 'http', 'https', 'http2', 'readline', 'tls', 'zlib']
/** By module: the exports in use. */
const LAZY = {
  '@noble/curves/ed25519.js': ['ed25519', 'x25519'],
  '@noble/curves/secp256k1.js': ['secp256k1'],
  tinyglobby: ['glob', 'globSync'],
}
const LAZY_FILTER = new RegExp(`^(${Object.keys(LAZY).join('|').replaceAll('.', '\\.')})$`)

/** What most commands load at once is one file each, in the order in which it is loaded. */
const ROOTS = [['main', 'wsl-utils'], ['commands'], ['remote-session']]
const STEM = /^([a-z-]+?)(-[A-Z0-9]{8})?\.js$/

/** All commands, as oclif's strategy "explicit" wants them: `chain/list.ts` is the command `chain:list`. */
const commandMap = {
  name: 'command-map',
  setup({ onResolve, onLoad }) {
    const files = globSync('**/*.ts', { cwd: 'src/commands' }).sort()
    onResolve({ filter: /^command-map$/ }, ({ path }) => ({ path, namespace: 'made' }))
    onLoad({ filter: /.*/, namespace: 'made' }, () => ({
      resolveDir: 'src/commands',
      contents: [
        ...files.map((file, index) => `import command${index} from ${JSON.stringify(`./${file}`)}`),
        `export const COMMANDS = { ${files.map((file, index) => `${JSON.stringify(idOf(file))}: command${index}`).join(', ')} }`,
      ].join('\n'),
    }))
  },
}

/** Modules that few commands use are evaluated only when they are used. */
const lazyModules = {
  name: 'lazy-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: LAZY_FILTER }, async ({ path, namespace, resolveDir }) =>
      namespace === 'lazy' ? undefined : { path, namespace: 'lazy', pluginData: { resolveDir } },
    )
    onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path, pluginData }) => ({
      resolveDir: pluginData.resolveDir,
      contents: LAZY[path]
        .map(
          (name) => `export const ${name} = new Proxy(() => undefined, {
          get: (_, key) => require('${path}').${name}[key],
          apply: (_, self, args) => require('${path}').${name}(...args),
        })`,
        )
        .join('\n'),
    }))
  },
}

const patches = new Patches()
const barrels = await readBarrels()

/** Source files as the bundle has them. */
const changedSources = {
  name: 'changed-sources',
  setup({ onLoad }) {
    onLoad({ filter: /\.(ts|js)$/, namespace: 'file' }, ({ path }) => ({
      contents: withDirectImports(patches.apply(path, readFileSync(path, 'utf8')), path, barrels),
      loader: path.endsWith('.ts') ? 'ts' : 'js',
    }))
  },
}

const { outputFiles, metafile } = await build({
  entryPoints: { main: 'src/cli/main.ts', commands: 'command-map' },
  chunkNames: '[name]-[hash]',
  outdir: FINAL,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  // oclif would look for the user's, to run TypeScript sources
  external: ['typescript'],
  inject: ['scripts/headers.mjs'],
  // the other one looks at Node's own, and so loads it
  define: { 'globalThis.Headers': 'undefined', PACKAGE_DATA: JSON.stringify(packageData) },
  sourcemap: 'inline',
  sourcesContent: false,
  logLevel: 'warning',
  plugins: [commandMap, lazyModules, changedSources],
  metafile: true,
  write: false,
})

patches.checkAllApplied()
const chunks = new Map(outputFiles.map(({ path, text }) => [basename(path), text]))
const imports = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output.imports]))
const packs = packsOf()
const packOf = new Map([...packs].flatMap(([pack, names]) => names.map((name) => [name, pack])))

mkdirSync(join(out, folder), { recursive: true })
writeFileSync(join(out, folder, 'package.json'), JSON.stringify(packageData))
await Promise.all([...packs].map(([pack, names]) => writePack(pack, names)))
process.stdout.write(`bundled the command line, ${packs.size} files\n`)

/** For oclif, which takes the commands of this build. */
function packageOf(written) {
  return { ...written, oclif: { ...written.oclif, commands: { ...written.oclif.commands, target: COMMANDS } } }
}

/** The chunks of each file. A root takes all that it imports. Of the others, one that a single file imports joins that file. */
function packsOf() {
  const placed = new Map()
  const place = (name, pack) => {
    if (!placed.has(name)) {
      placed.set(name, pack)
      for (const needed of importedBy(name)) {
        place(needed, pack)
      }
    }
  }
  for (const [first, ...more] of ROOTS.map((roots) =>
    roots.map((root) => [...chunks.keys()].find((name) => STEM.exec(name)?.[1] === root)),
  )) {
    for (const name of [first, ...more]) {
      place(name, packNamed(first))
    }
  }
  const others = [...chunks.keys()].filter((name) => !placed.has(name))
  for (const name of others) {
    placed.set(name, packNamed(name))
  }
  for (let changed = true; changed; ) {
    changed = false
    for (const name of others.filter((other) => other.startsWith('chunk-'))) {
      const [pack, ...more] = new Set([...chunks.keys()].filter((by) => importedBy(by).includes(name)).map((by) => placed.get(by)))
      if (pack != null && more.length === 0 && placed.get(name) !== pack) {
        placed.set(name, pack)
        changed = true
      }
    }
  }
  return Map.groupBy(placed.keys(), (name) => placed.get(name))
}

/** The chunks that one imports as it is loaded. */
function importedBy(name) {
  return imports
    .get(name)
    .filter(({ kind, external }) => kind === 'import-statement' && !external)
    .map(({ path }) => basename(path))
}

/** Chunks are required where they are imported later; what a user names stays an import. */
function withRequiredChunks(code) {
  return code.replace(/\bimport\(("\.\/[^"]+")\)/g, 'Promise.resolve().then(() => require($1))')
}

function packNamed(name) {
  return name.replace(/\.js$/, '.cjs')
}

/** One CommonJS file: what its first chunk exports, and all of its chunks for other files. */
async function writePack(pack, names) {
  const places = names
    .flatMap((name) => imports.get(name))
    .map(({ path }) => basename(path))
    .filter((name) => chunks.has(name) && packOf.get(name) !== pack)
  const { outputFiles: files } = await build({
    stdin: {
      resolveDir: '.',
      sourcefile: pack,
      contents: [
        `export * from './${names[0]}'`,
        ...names.map((name, index) => `import * as chunk${index} from './${name}'`),
        `export const chunks = { ${names.map((name, index) => `'./${name}': chunk${index}`).join(', ')} }`,
      ].join('\n'),
    },
    outfile: join(FINAL, pack),
    // the sources are named as seen from the folder
    ...(pack === MAIN ? { sourceRoot: `./${folder}/` } : {}),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    define: { 'import.meta.url': '__url', 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
    banner: { js: bannerOf(Object.fromEntries(places.map((name) => [`./${name}`, wayFrom(pack, packOf.get(name))]))) },
    minifyWhitespace: true,
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'warning',
    plugins: [chunksOf(pack)],
    write: false,
  })
  for (const { path, contents } of files) {
    writeFileSync(placeOf(pack, path), contents)
  }
}

/** @param file its code or its map */
function placeOf(pack, file = pack) {
  return join(out, pack === MAIN ? '' : folder, basename(file))
}

function wayFrom(pack, other) {
  const way = relative(dirname(placeOf(pack)), placeOf(other))
  return way.startsWith('.') ? way : `./${way}`
}

/** Finds the chunks of one file; those of others are required as they are used. */
function chunksOf(pack) {
  return {
    name: 'chunks',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\.\// }, ({ path }) =>
        packOf.get(basename(path)) === pack ? { path: basename(path), namespace: 'chunk' } : { path, external: true },
      )
      onResolve({ filter: /^[^.]/ }, ({ path }) => ({ path, external: true }))
      onLoad({ filter: /.*/, namespace: 'chunk' }, ({ path }) => ({ contents: withRequiredChunks(withLazyBuiltins(chunks.get(path))) }))
    },
  }
}

/** Gives built-in modules and the chunks of other files to whatever requires them. */
function bannerOf(places) {
  return [
    '"use strict";const __take=globalThis.process.getBuiltinModule,__url=__take("node:url").pathToFileURL(__filename).href,',
    `__places=${JSON.stringify(places)},__seldom=new Set(${JSON.stringify(SELDOM_USED)}),`,
    '__later=(name)=>new Proxy({},{get:(_,key)=>key==="__esModule"?void 0:__take(name)[key]});',
    'require=((load)=>new Proxy((name)=>__seldom.has(name.replace("node:",""))?__later(name):__take(name)',
    '??(__places[name]==null?load(name):load(__places[name]).chunks[name]),{get:(_,key)=>load[key]}))(require);',
  ].join('')
}

function idOf(file) {
  return file.replace(/\.ts$/, '').replaceAll(sep, ':')
}

/**
 * Takes built-in modules as CommonJS does: an ES import of `node:fs` reads every member of it, and so loads all that is made on demand.
 * Those that many name and few use are taken only when they are used. Line for line, so that the source maps stay true.
 */
function withLazyBuiltins(code) {
  return code.replace(/^import ([^"';]+) from "([^"]+)";$/gm, (statement, names, module) => {
    if (!isBuiltin(module)) {
      return statement
    }
    const [, first, rest] = /^(\w+)?(?:, )?([\s\S]*)$/.exec(names)
    const name = module.replace(/^node:/, '')
    if (name === 'crypto' && !rest.startsWith('*')) {
      return laterCrypto(first, rest)
    }
    const taken = `__take("node:${name}")`
    const later = SELDOM_USED.includes(name) ? `__later("${name}")` : taken
    const parts = [
      ...(first == null ? [] : [`${first} = ${later}`]),
      ...(rest === '' ? [] : [`${rest.replace(/^\* as /, '').replaceAll(' as ', ': ')} = ${rest.startsWith('*') ? later : taken}`]),
    ]
    return `var ${parts.join(', ')};`
  })
}

/** Most commands hash and sign nothing: the functions of `node:crypto` load it when they are called. Libraries look for what is in its namespace. */
function laterCrypto(first, rest) {
  const parts = first == null ? [] : [`${first} = __later("crypto")`]
  for (const [, name, local = name] of rest.matchAll(/(\w+)(?: as (\w+))?/g)) {
    const isFunction = /^[a-z]/.test(name) && typeof crypto[name] === 'function'
    parts.push(isFunction ? `${local} = (...args) => __take("node:crypto").${name}(...args)` : `${local} = __take("node:crypto").${name}`)
  }
  return `var ${parts.join(', ')};${rest.replaceAll(/[^\n]/g, '')}`
}
