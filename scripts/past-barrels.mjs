// A barrel is an index file that only re-exports other files. esbuild splits code by whole files: a part of a barrel that some command uses
// is evaluated by every command that imports any other part. `import * as wkt`, in one command, made each command decode fifteen protobuf
// descriptors. So imports in the bundle name the defining file directly.
import { globSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** By import name: the folder below `node_modules` with the index file and the defining files. */
const BARRELS = {
  '@bufbuild/protobuf': '@bufbuild/protobuf/dist/esm',
  '@bufbuild/protobuf/codegenv2': '@bufbuild/protobuf/dist/esm/codegenv2',
  '@bufbuild/protobuf/reflect': '@bufbuild/protobuf/dist/esm/reflect',
  '@bufbuild/protobuf/wire': '@bufbuild/protobuf/dist/esm/wire',
  '@bufbuild/protobuf/wkt': '@bufbuild/protobuf/dist/esm/wkt',
  '@connectrpc/connect': '@connectrpc/connect/dist/esm',
  '@connectrpc/connect/protocol': '@connectrpc/connect/dist/esm/protocol',
  '@connectrpc/connect/protocol-connect': '@connectrpc/connect/dist/esm/protocol-connect',
  '@connectrpc/connect-node': '@connectrpc/connect-node/dist/esm',
}
const MODULES = resolve('node_modules')
const IMPORT = /^import \{([^}]*)\} from (['"])([^'"]+)\2;?/gm

/** By the path or package name of a barrel: the defining file for each export. */
export async function readBarrels() {
  const barrels = new Map()
  for (const [name, folder] of Object.entries(BARRELS)) {
    const files = await filesOf(join(MODULES, folder))
    barrels.set(name, files).set(join(MODULES, folder, 'index.js'), files)
  }
  return barrels
}

/**
 * Replaces imports of barrels. Line numbers do not change, so source maps stay valid.
 * @throws Error for a name that no file of a barrel defines
 */
export function withDirectImports(code, path, barrels) {
  return code.replace(IMPORT, (statement, names, _quote, from) => {
    const files = barrels.get(from.startsWith('.') ? join(dirname(path), from) : from)
    if (files == null) {
      return statement
    }
    const taken = names.split(',').map((name) => name.trim())
    const direct = taken
      .filter((name) => name !== '' && !name.startsWith('type '))
      .map((name) => {
        const file = files.get(name.split(' as ')[0])
        if (file == null) {
          throw new Error(`${path}: no file of ${from} defines ${name}`)
        }
        return `import { ${name} } from ${JSON.stringify(file)};`
      })
    return direct.join(' ') + statement.replaceAll(/[^\n]/g, '')
  })
}

/** The defining file for each export. */
async function filesOf(folder) {
  const all = await import(pathToFileURL(join(folder, 'index.js')))
  const files = new Map()
  for (const file of globSync('**/*.js', { cwd: folder, exclude: ['**/index.js'] }).sort()) {
    const exported = await import(pathToFileURL(join(folder, file)))
    for (const name of Object.keys(exported).filter((one) => exported[one] === all[one])) {
      files.set(name, join(folder, file))
    }
  }
  return files
}
