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

/** The destination of a result. A file holds the complete result or stays unchanged. */
export interface OutputFile {
  /** Writes the complete result. @throws UsageError; errors of `chunks` */
  finish(chunks: AsyncIterable<Uint8Array>): Promise<void>
  /** Removes an unfinished result. May be called at any time. */
  discard(): Promise<void>
}

const MAX_LINKS = 40
const ASK_PIPE_EVERY_MS = 50

/**
 * Opens the destination before the result exists, so that an unwritable path fails before any work. An existing file keeps its mode, its
 * owner if possible, and the symbolic link to it. Its other hard links keep the old content.
 * @param options the deadline and signal for the reader of a pipe
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
    // pipes and devices are written to, not replaced
    return there.isFIFO() ? await openPipe(path, options) : deviceOutput(path, await open(path, 'w'))
  } catch (cause) {
    options.signal.throwIfAborted()
    throw isDeadline(cause) ? cause : cannotWrite(path, cause)
  }
}

/** @param file the real path behind `path` */
async function openInPlaceOf(file: string, there: Stats): Promise<AtomicFile> {
  // a writable folder would permit a replacement of a read-only file
  await (await open(file, constants.O_WRONLY)).close()
  return AtomicFile.openInPlaceOf(file, there)
}

/** The target of a symbolic link whose target does not exist yet. */
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

/** Polls until a pipe has a reader. A blocking open would hold a thread, and the process could not exit. */
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
  // the deadline covers the writing of the result
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

/** @throws UsageError for a write error; errors of `chunks`; the signal's reason */
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
    hint: '--output needs a file and a folder that you can write',
  })
}
