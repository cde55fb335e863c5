import { glob, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'

/** In a single executable, the package's files are assets of the executable. */
const { isSea, getAsset, getAssetKeys } = process.getBuiltinModule('node:sea')

/** The text files of a folder in this package, by relative path. @param root the folder of the package */
export async function ownFiles(root: string, folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  if (isSea()) {
    for (const key of getAssetKeys().filter((each) => each.startsWith(`${folder}/`))) {
      files.set(key.slice(folder.length + 1), getAsset(key, 'utf8'))
    }
    return files
  }
  const path = join(root, folder)
  for await (const entry of glob('**', { cwd: path, withFileTypes: true })) {
    if (entry.isFile()) {
      const file = join(entry.parentPath, entry.name)
      files.set(file.slice(path.length + sep.length), await readFile(file, 'utf8'))
    }
  }
  return files
}

/** The npm tarball inside a single executable, which itself cannot be a dependency; undefined otherwise. */
export function ownPackage(): Uint8Array | undefined {
  return isSea() ? new Uint8Array(getAsset('package.tgz')) : undefined
}
