import { open, realpath, stat } from 'node:fs/promises'
import { reasonOf } from '../node/home.ts'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { UsageError } from '../primitives/errors.ts'

/** Where a result goes: it is there whole, or not at all. */
export interface OutputFile {
  /** Takes the whole result. @throws UsageError; what `chunks` throws */
  finish(chunks: AsyncIterable<Uint8Array>): Promise<void>
  /** Leaves nothing behind of a result that was not finished. May follow anything. */
  discard(): Promise<void>
}

/** Opens a file for a result before there is one, so that a path that cannot be written costs no work. @throws UsageError */
export async function openOutput(path: string): Promise<OutputFile> {
  const there = await stat(path).catch(() => undefined)
  if (there == null) {
    return openRegular(path, path)
  }
  // a device or a pipe is written to, not replaced; so is what a link names, not the link
  return there.isFile() ? openRegular(path, await realpath(path), there.mode & 0o777) : openSpecial(path)
}

async function openRegular(path: string, target: string, mode?: number): Promise<OutputFile> {
  const file = await AtomicFile.open(target, mode).catch((cause) => Promise.reject(cannotWrite(path, reasonOf(cause), cause)))
  return {
    finish: async (chunks) => {
      let failure: unknown
      const result = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield* chunks
        } catch (error) {
          failure = error
          throw error
        }
      }
      try {
        await file.writeAll(result())
        await file.commit()
      } catch (cause) {
        throw failure ?? cannotWrite(path, reasonOf(cause), cause)
      }
    },
    discard: async () => file.discard(),
  }
}

async function openSpecial(path: string): Promise<OutputFile> {
  const handle = await open(path, 'w').catch((cause) => Promise.reject(cannotWrite(path, reasonOf(cause), cause)))
  return {
    finish: async (chunks) => {
      for await (const bytes of chunks) {
        await handle.writeFile(bytes).catch((cause) => Promise.reject(cannotWrite(path, reasonOf(cause), cause)))
      }
      await handle.close()
    },
    discard: async () => handle.close(),
  }
}

function cannotWrite(path: string, reason: string, cause?: unknown): UsageError {
  return new UsageError(`the output ${path} cannot be written: ${reason}`, {
    cause,
    hint: '--output names a file in a folder that you can write',
  })
}
