// The main script of the single executable, in place of `bin/run.js`. The package's files are assets of the executable, compiled on demand.
// A user's module that imports this package receives the executable's own copy of the library.
import fs from 'node:fs'
import { isBuiltin, registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { getAsset, getAssetKeys } from 'node:sea'
import { pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import { fromCommand, standInForUser, takeSignals, tellLoadFailure } from '../bin/process.js'
import { setV8Flags } from '../bin/v8-flags.js'

/** The virtual folder of the package's files. The executable's path cannot have real files below it. */
const root = process.execPath
/** User modules are imported by this script, because Node forbids imports in the executable's other code. */
const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname', '__import']
const OWN = 'subnet-cli'
const keys = new Set(getAssetKeys())
const modules = new Map()

function keyOf(path) {
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : undefined
}

function load(file) {
  const known = modules.get(file)
  if (known != null) {
    return known.exports
  }
  const module = { exports: {} }
  modules.set(file, module)
  const folder = resolve(file, '..')
  const run = compileFunction(getAsset(keyOf(file), 'utf8'), PARAMETERS, { filename: file })
  run(module.exports, requireFrom(folder), module, file, folder, (url) => import(url))
  return module.exports
}

function requireFrom(folder) {
  const find = (name) => {
    const file = resolve(folder, name)
    if (!keys.has(keyOf(file))) {
      throw Object.assign(new Error(`Cannot find module '${name}': it is no part of this executable`), { code: 'MODULE_NOT_FOUND' })
    }
    return file
  }
  return Object.assign((name) => (isBuiltin(name) ? process.getBuiltinModule(name) : load(find(name))), { resolve: find })
}

// oclif reads its manifest with readFileSync
const { readFileSync } = fs
fs.readFileSync = (path, options) => {
  const key = typeof path === 'string' ? keyOf(path) : undefined
  return key != null && keys.has(key) ? getAsset(key, 'utf8') : readFileSync(path, options)
}

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === OWN || specifier.startsWith(`${OWN}/`) ? { url: `${OWN}:${specifier}`, shortCircuit: true } : next(specifier, context),
  load: (url, context, next) => {
    if (!url.startsWith(`${OWN}:`)) {
      return next(url, context)
    }
    const name = url.slice(OWN.length + 1)
    const exported = load(join(root, 'library.cjs')).ENTRIES[name]
    if (exported == null) {
      throw Object.assign(new Error(`${name} is no part of ${OWN}`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })
    }
    globalThis[Symbol.for(url)] = exported
    const source = `export const { ${Object.keys(exported).join(', ')} } = globalThis[Symbol.for(${JSON.stringify(url)})]`
    return { format: 'module', source, shortCircuit: true }
  },
})

const args = process.argv.slice(2)
const [command, ...options] = fromCommand(args)
takeSignals([command, ...options])
standInForUser()
setV8Flags(command, options)
process.setSourceMapsEnabled(false)
if (args[0] === '--licenses') {
  // the reader may close the pipe early
  process.stdout.on('error', () => process.exit())
  process.stdout.write(getAsset('THIRD-PARTY-LICENSES.txt', 'utf8'))
} else {
  try {
    load(join(root, 'bundle', 'main.cjs')).main(args, pathToFileURL(join(root, 'bin', 'run.js')).href)
  } catch (error) {
    tellLoadFailure(error, args)
  }
}
