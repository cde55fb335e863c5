import { constants, openSync, type Stats } from 'node:fs'
import { type FileHandle, open, readlink, realpath, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { dirname, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { Deadline, isDeadline } from '../primitives/deadline.ts'
import { reasonOf, UsageError } from '../primitives/errors.ts'
import type { InputOptions } from './payload.ts'

/** Where a result goes: it is there whole, or not at all. */
export interface OutputFile {
  /** Takes the whole result. @throws UsageError; what `chunks` throws */
  finish(chunks: AsyncIterable<Uint8Array>): Promise<void>
  /** Leaves nothing behind of a result that was not finished. May follow anything. */
  discard(): Promise<void>
}

const MAX_LINKS = 40
const ASK_PIPE_EVERY_MS = 50

/**
 * Opens a file for a result before there is one, so that a path that cannot be written costs no work. A file that is there keeps its mode, its owner
 * where that may be, and the link that names it; its other names keep what they had. @param options end the wait for the reader of a pipe
 * @throws UsageError; the signal's reason
 */
export async function openOutput(path: string, options: InputOptions): Promise<OutputFile> {
  try {
    const there = await stat(path).catch((error) => (isMissing(error) ? undefined : Promise.reject(error)))
    if (there == null) {
      return fileOutput(path, await AtomicFile.open(await linkedFrom(path)))
    }
    if (there.isFile()) {
      return fileOutput(path, await openInPlaceOf(await realpath(path), there))
    }
    // a pipe or a device is written to, not replaced
    return there.isFIFO() ? await openPipe(path, options) : deviceOutput(path, await open(path, 'w'))
  } catch (cause) {
    options.signal.throwIfAborted()
    throw isDeadline(cause) ? cause : cannotWrite(path, cause)
  }
}

/** @param file what `path` leads to */
async function openInPlaceOf(file: string, there: Stats): Promise<AtomicFile> {
  // whoever may write the folder could replace a file that may not be written
  await (await open(file, constants.O_WRONLY)).close()
  return AtomicFile.openInPlaceOf(file, there)
}

/** Where a link leads to that leads to nothing yet. */
async function linkedFrom(path: string): Promise<string> {
  let file = path
  for (let links = 0; links < MAX_LINKS; links++) {
    const target = await readlink(file).catch(() => undefined)
    if (target == null) {
      return file
    }
    file = resolve(dirname(file), target)
  }
  return file
}

function fileOutput(path: string, file: AtomicFile): OutputFile {
  return {
    finish: async (chunks) =>
      writing(path, chunks, async (result) => {
        await file.writeAll(result)
        await file.commit()
      }),
    discard: async () => file.discard(),
  }
}

/** A pipe without a reader is waited for here, not in the system: a process with a thread that waits there cannot even end. */
async function untilRead(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted()
    try {
      return new Socket({ fd: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), readable: false, writable: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') {
        throw error
      }
    }
    await delay(ASK_PIPE_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function openPipe(path: string, options: InputOptions): Promise<OutputFile> {
  using opening = new DisposableStack()
  const { signal } = opening.use(new Deadline(options.timeoutMs, options.signal))
  const socket = await untilRead(path, signal)
  // the time runs until the result is written
  const writingTime = opening.move()
  return {
    finish: async (chunks) => writing(path, chunks, async (result) => pipeline(result, socket, { signal }), signal),
    discard: async () => {
      writingTime.dispose()
      socket.destroy()
    },
  }
}

function deviceOutput(path: string, handle: FileHandle): OutputFile {
  return {
    finish: async (chunks) =>
      writing(path, chunks, async (result) => {
        for await (const bytes of result) {
          await handle.writeFile(bytes)
        }
        await handle.close()
      }),
    discard: async () => handle.close(),
  }
}

/** @throws UsageError for what the file does; what `chunks` throws; the signal's reason */
async function writing(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  write: (result: AsyncGenerator<Uint8Array>) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
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
    await write(result())
  } catch (cause) {
    signal?.throwIfAborted()
    throw failure ?? cannotWrite(path, cause)
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

function cannotWrite(path: string, cause: unknown): UsageError {
  return new UsageError(`the output ${path} cannot be written: ${reasonOf(cause)}`, {
    cause,
    hint: '--output names a file that you can write, in a folder that you can write',
  })
}
