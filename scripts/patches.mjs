// Patches for dependencies in the bundle, so that a command does not load unused code. A build fails if a patch no longer applies.

/** Each entry has `file`, the end of the path; `from`, the original text; and `to`, its replacement. */
export const PATCHES = [
  // the first asynchronous read starts libuv's thread pool, which help does not need otherwise
  { file: '@oclif/core/lib/util/fs.js', from: 'await (0, promises_1.readFile)(path', to: '(0, node_fs_1.readFileSync)(path' },
  // the first locale comparison creates a collator, which takes milliseconds; command IDs are lower-case ASCII
  { file: '@oclif/core/lib/config/plugin.js', from: 'a.id.localeCompare(b.id)', to: '(a.id < b.id ? -1 : 1)' },
  // these files promisify functions of built-in modules at load time, and Node then loads the modules
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

/** Applies the patches, and reports patches without a matching file at the end of a build. */
export class Patches {
  #left = new Set(PATCHES)

  /** Returns the text of a file, patched if an entry names it. @throws Error if the patch does not apply */
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

  /** @throws Error if a patched file was not bundled */
  checkAllApplied() {
    const files = [...this.#left].map(({ file }) => file)
    if (files.length > 0) {
      throw new Error(`the patches of scripts/patches.mjs met no file: ${files.join(', ')}`)
    }
  }
}
