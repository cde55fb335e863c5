// Bundles the command line: main.cjs finds the command and shows help. In a folder beside it, commands.cjs has all commands. Dynamic
// imports (libp2p, the control socket's client, prompts) go into further files. Few files, because each file costs a millisecond to find.
// The library stays in dist/ as built by tsc.
//    node scripts/bundle.mjs OUT FOLDER
import crypto from 'node:crypto'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, dirname, join, relative, sep } from 'node:path'
import { build } from 'esbuild'
import { readBarrels, withDirectImports } from './past-barrels.mjs'
import { Patches } from './patches.mjs'

const [out, folder] = process.argv.slice(2)
const MAIN = 'main.cjs'
/** The final folder of all files except `main.cjs`. */
const FINAL = join('bundle', folder)
/** The path of the commands from the package's root. */
const COMMANDS = `./bundle/${folder}/commands.cjs`
const packageData = packageOf(JSON.parse(readFileSync('package.json', 'utf8')))
const SELDOM_USED = ['child_process', 'http', 'https', 'http2', 'readline', 'tls', 'zlib']
/** The exports in use, by module. */
const LAZY = {
  '@noble/curves/ed25519.js': ['ed25519', 'x25519'],
  '@noble/curves/secp256k1.js': ['secp256k1'],
  tinyglobby: ['glob', 'globSync'],
}
const LAZY_FILTER = new RegExp(`^(${Object.keys(LAZY).join('|').replaceAll('.', '\\.')})$`)

/** Modules that most commands load together share one file, in load order. */
const ROOTS = [['main', 'wsl-utils'], ['commands'], ['remote-session']]
const STEM = /^([a-z-]+?)(-[A-Z0-9]{8})?\.js$/

/** All commands, for oclif's strategy "explicit": `chain/list.ts` is the command `chain:list`. */
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

/** Defers the evaluation of rarely used modules until their first use. */
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

/** Source files with the patches and direct imports of the bundle. */
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
  // oclif would load the user's typescript to run TypeScript sources
  external: ['typescript'],
  inject: ['scripts/headers.mjs'],
  // headers-polyfill would read Node's own Headers, and so load it
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

/** The package data for oclif, with the commands of this build. */
function packageOf(written) {
  return { ...written, oclif: { ...written.oclif, commands: { ...written.oclif.commands, target: COMMANDS } } }
}

/** The chunks of each output file. A root includes all its imports. Another chunk with a single importing file joins that file. */
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

/** The static imports of a chunk. */
function importedBy(name) {
  return imports
    .get(name)
    .filter(({ kind, external }) => kind === 'import-statement' && !external)
    .map(({ path }) => basename(path))
}

/** Replaces dynamic imports of chunks by require; imports of user modules stay. */
function withRequiredChunks(code) {
  return code.replace(/\bimport\(("\.\/[^"]+")\)/g, 'Promise.resolve().then(() => require($1))')
}

function packNamed(name) {
  return name.replace(/\.js$/, '.cjs')
}

/** Writes one CommonJS file: the exports of its first chunk, and its chunks for other files. */
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
    // source paths are relative to the folder
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

/** @param file the code file or its source map */
function placeOf(pack, file = pack) {
  return join(out, pack === MAIN ? '' : folder, basename(file))
}

function wayFrom(pack, other) {
  const way = relative(dirname(placeOf(pack)), placeOf(other))
  return way.startsWith('.') ? way : `./${way}`
}

/** Finds the chunks of one file; chunks in other files are required on first use. */
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

/** Provides built-in modules and chunks of other files through require. */
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
 * Replaces ES imports of built-in modules by require: an ES import of `node:fs` reads every member, and so loads its lazy parts. Built-in
 * modules that many files import and few commands use are loaded on first use. Line numbers do not change, so source maps stay valid.
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

/**
 * Loads `node:crypto` when a function is called, because most commands neither hash nor sign. Constants load it at once, because libraries
 * inspect them.
 */
function laterCrypto(first, rest) {
  const parts = first == null ? [] : [`${first} = __later("crypto")`]
  for (const [, name, local = name] of rest.matchAll(/(\w+)(?: as (\w+))?/g)) {
    const isFunction = /^[a-z]/.test(name) && typeof crypto[name] === 'function'
    parts.push(isFunction ? `${local} = (...args) => __take("node:crypto").${name}(...args)` : `${local} = __take("node:crypto").${name}`)
  }
  return `var ${parts.join(', ')};${rest.replaceAll(/[^\n]/g, '')}`
}
