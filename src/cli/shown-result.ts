import { lstatSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { reasonOf, UsageError } from '../primitives/errors.ts'
import { joinBytes } from '../primitives/join-bytes.ts'
import { printableLines } from '../primitives/printable.ts'
import { TextCheck } from '../primitives/text-check.ts'

export interface ShownResultInit {
  /** Length of the result in bytes, if known. */
  size: number | undefined
  taskId: string
  /** Folders for a result that is not text. The first writable one is used. */
  folders: readonly string[]
  /** Writes to the terminal. */
  write(text: string): Promise<void>
}

/** A result that is not text, and its file. */
export interface KeptResult {
  file: string
  bytes: number
  /** Offset of the file's first byte in the result. The bytes before it were shown. */
  from: number
}

/** A result up to this size is checked before it is shown. For the file of a longer result, up to about this many bytes are held. */
const MAX_HELD_BYTES = 1024 * 1024
const MAX_NAME_CHARACTERS = 40
const MAX_NAMES = 1_000
const OWN_ALONE = 0o600

/**
 * Shows the result of a task on a terminal: a text without control characters, with a line feed at its end. Any other result is kept in a
 * new file, completely or not at all. Returns that file. A long text is shown as it arrives, so its beginning may be shown before a byte
 * proves that it is not text.
 * @throws UsageError if no folder is writable; errors of `result`
 */
export async function showResult(result: AsyncIterable<Uint8Array>, init: ShownResultInit): Promise<KeptResult | undefined> {
  return new ShownResult(init).take(result)
}

class ShownResult {
  readonly #init: ShownResultInit
  readonly #check = new TextCheck()
  readonly #decoder = new TextDecoder()
  /** The last bytes, kept for a file. */
  #held: Uint8Array[] = []
  #bytes = 0
  /** Offset of the first held byte. All bytes before it were shown. */
  #from = 0
  #last = '\n'

  constructor(init: ShownResultInit) {
    this.#init = init
  }

  async take(result: AsyncIterable<Uint8Array>): Promise<KeptResult | undefined> {
    const chunks = result[Symbol.asyncIterator]()
    try {
      return await this.#take(chunks)
    } finally {
      await chunks.return?.()
    }
  }

  async #take(chunks: AsyncIterator<Uint8Array>): Promise<KeptResult | undefined> {
    const { size } = this.#init
    const waits = size != null && size <= MAX_HELD_BYTES
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      const isText = this.#check.take(next.value)
      this.#hold(next.value, waits)
      if (!isText) {
        return this.#keep(rest(chunks))
      }
      await (waits ? undefined : this.#show(next.value))
    }
    if (!this.#check.end()) {
      return this.#keep(rest(chunks))
    }
    await (waits ? this.#show(joinBytes(this.#held)) : undefined)
    await (this.#last === '\n' ? undefined : this.#init.write('\n'))
    return undefined
  }

  #hold(bytes: Uint8Array, all: boolean): void {
    this.#bytes += bytes.byteLength
    this.#held.push(bytes)
    if (!all && this.#bytes - this.#from > MAX_HELD_BYTES) {
      this.#from = this.#bytes - bytes.byteLength
      this.#held = [bytes]
    }
  }

  async #show(bytes: Uint8Array): Promise<void> {
    const text = printableLines(this.#decoder.decode(bytes, { stream: true }))
    if (text !== '') {
      this.#last = text.at(-1) as string
      await this.#init.write(text)
    }
  }

  async #keep(more: AsyncIterable<Uint8Array>): Promise<KeptResult> {
    const { folders, taskId } = this.#init
    await (this.#last === '\n' ? undefined : this.#init.write('\n'))
    const first = await firstThatTakes(folders, nameOf(taskId), joinBytes(this.#held))
    let { byteLength: bytes } = joinBytes(this.#held)
    let failure: unknown
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for await (const chunk of more) {
          bytes += chunk.byteLength
          yield chunk
        }
      } catch (error) {
        failure = error
        throw error
      }
    }
    try {
      await first.file.writeAll(counted())
      return { file: resolve(await first.file.commitAs(first.paths())), bytes, from: this.#from }
    } catch (cause) {
      throw failure ?? cannotKeep(first.folder, cause)
    } finally {
      await first.file.discard()
    }
  }
}

interface OpenedFile {
  folder: string
  file: AtomicFile
  /** The possible names. */
  paths(): Iterable<string>
}

/** @throws UsageError with the error of the first folder, if none is writable */
async function firstThatTakes(folders: readonly string[], name: string, bytes: Uint8Array): Promise<OpenedFile> {
  let failure: unknown
  for (const folder of folders) {
    let file: AtomicFile | undefined
    try {
      file = await AtomicFile.open(join(folder, name), OWN_ALONE)
      await file.write(bytes)
      return { folder, file, paths: () => freePaths(folder, name) }
    } catch (cause) {
      await file?.discard()
      failure ??= cannotKeep(folder, cause)
    }
  }
  throw failure
}

/** The unused paths among `result-ID.bin`, `result-ID-2.bin` and so on. */
function* freePaths(folder: string, name: string): Generator<string> {
  for (let number = 1; number <= MAX_NAMES; number++) {
    const path = join(folder, `${name}${number === 1 ? '' : `-${number}`}.bin`)
    if (lstatSync(path, { throwIfNoEntry: false }) == null) {
      yield path
    }
  }
}

function nameOf(taskId: string): string {
  return `result-${taskId.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, MAX_NAME_CHARACTERS)}`
}

async function* rest(chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    yield next.value
  }
}

function cannotKeep(folder: string, cause: unknown): UsageError {
  return new UsageError(
    `the task was accepted and the peer has acted, but its result is not text and cannot be kept in ${folder}: ${reasonOf(cause)}`,
    { cause, hint: 'before sending the task again, free some space there or give --output FILE in another folder' },
  )
}
