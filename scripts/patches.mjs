// What the bundle changes in files of dependencies, so that a command does not load what it does not use. A build fails where one no longer applies.

/** In each: `file`, as its path ends; `from`, which stands in it; `to`. */
export const PATCHES = [
  // the first asynchronous read starts the threads of libuv, and help needs no other
  { file: '@oclif/core/lib/util/fs.js', from: 'await (0, promises_1.readFile)(path', to: '(0, node_fs_1.readFileSync)(path' },
  // the first comparison by a locale makes a collator, which takes milliseconds; ids of commands are lower-case ASCII
  { file: '@oclif/core/lib/config/plugin.js', from: 'a.id.localeCompare(b.id)', to: '(a.id < b.id ? -1 : 1)' },
  // these promisify functions of built-in modules as they are loaded, and Node then loads those
  ...[
    '@connectrpc/connect-node/dist/esm/compression.js',
    '@libp2p/crypto/dist/src/keys/rsa/index.js',
    'wsl-utils/index.js',
    'powershell-utils/index.js',
  ].map((file) => ({ file, from: /= (promisify\(\w+\.\w+\));/g, to: '= (...args) => $1(...args);' })),
  {
    file: '@libp2p/crypto/dist/src/keys/ed25519/index.js',
    from: '= crypto.generateKeyPairSync;',
    to: '= (...args) => crypto.generateKeyPairSync(...args);',
  },
]

/** Applies them, and tells at the end of a build which of them met no file. */
export class Patches {
  #left = new Set(PATCHES)

  /** The text of a file, changed where a patch names it. @throws Error where one does not apply */
  apply(path, text) {
    const patch = PATCHES.find(({ file }) => path.replaceAll('\\', '/').endsWith(`/node_modules/${file}`))
    if (patch == null) {
      return text
    }
    this.#left.delete(patch)
    const changed = text.replace(patch.from, patch.to)
    if (changed === text) {
      throw new Error(`${path}: the patch of scripts/patches.mjs does not apply: ${patch.from} is not there`)
    }
    return changed
  }

  /** @throws Error where a file of a patch was not bundled */
  checkAllApplied() {
    const files = [...this.#left].map(({ file }) => file)
    if (files.length > 0) {
      throw new Error(`the patches of scripts/patches.mjs met no file: ${files.join(', ')}`)
    }
  }
}
