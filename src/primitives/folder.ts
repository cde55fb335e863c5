import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Creates a folder and its missing parents. Node's own recursive `mkdir` never returns in a folder that accepts no subfolders (`/proc/x`).
 * @param mode of each created folder @throws Error of the system
 */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    if (await isFolder(path)) {
      return
    }
    const above = dirname(path)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error
    }
    if (await isFolder(above)) {
      throw new Error(`cannot create a folder in ${above}`, { cause: error })
    }
    await makeFolder(above, mode)
    await makeFolder(path, mode)
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true
}
