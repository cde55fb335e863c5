import { clearScreenDown, cursorTo } from 'node:readline'
import { Writable } from 'node:stream'
import { BLANK } from '../text/progress.ts'
import { isDumb } from './editor.ts'

const LINE_FEED = 10

/**
 * The output of readline. While `muted`, a command has the terminal and readline's output is dropped. Tracks whether the cursor is at the
 * start of a line.
 */
export class Screen extends Writable {
  muted = false
  readonly isTTY = true
  readonly #onStray: (text: string) => void
  #atStart = true
  #undo: Array<() => void> = []
  readonly #onResize = (): void => {
    this.emit('resize')
  }

  constructor(onStray: (text: string) => void) {
    super()
    this.#onStray = onStray
    this.watch()
  }

  get columns(): number {
    return process.stdout.columns
  }

  get rows(): number {
    return process.stdout.rows
  }

  /** A line feed if the cursor is not at the start of a line; empty otherwise. */
  get lineFeed(): string {
    return this.#atStart ? '' : '\n'
  }

  /** Watches writes to the terminal. While the user types, writes to stderr go to `onStray` instead. */
  watch(): void {
    const { stdout, stderr } = process
    this.#undo = [
      intercept(stdout, (chunk, write) => {
        this.#note(chunk)
        write()
      }),
    ]
    if (stderr.isTTY) {
      const onStderr = (chunk: string | Uint8Array, write: () => void): void => {
        if (this.muted) {
          this.#note(chunk)
          write()
        } else {
          this.#onStray(
            Buffer.from(chunk as Uint8Array)
              .toString()
              .trimEnd(),
          )
        }
      }
      this.#undo.push(intercept(stderr, onStderr))
    }
    stdout.on('resize', this.#onResize)
  }

  /** Gives the terminal to another writer. */
  lend(): void {
    this.restore()
    this.#atStart = false
  }

  restore(): void {
    for (const undo of this.#undo.splice(0)) {
      undo()
    }
    process.stdout.off('resize', this.#onResize)
  }

  /** Clears the terminal and moves the cursor to the first line. A terminal without cursor movement stays unchanged. */
  clear(): void {
    if (!isDumb()) {
      cursorTo(process.stdout, 0, 0)
      clearScreenDown(process.stdout)
      this.#atStart = true
    }
  }

  #note(chunk: string | Uint8Array): void {
    if (chunk.length > 0) {
      this.#atStart = chunk.at(-1) === '\n' || chunk.at(-1) === LINE_FEED || chunk === BLANK
    }
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (!this.muted) {
      process.stdout.write(chunk)
    }
    done()
  }
}

/** Passes all writes to a stream to `see`, which calls `write` to perform them. Returns a function that undoes this. */
function intercept(stream: NodeJS.WriteStream, see: (chunk: string | Uint8Array, write: () => void) => void): () => void {
  const original = stream.write
  stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
    let room = true
    see(chunk, () => {
      room = (original as (...args: unknown[]) => boolean).call(stream, chunk, ...rest)
    })
    return room
  }) as typeof original
  return () => {
    stream.write = original
  }
}
