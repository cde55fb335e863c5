import { emitKeypressEvents } from 'node:readline'
import ansiEscapes from 'ansi-escapes'
import { createLogUpdate } from 'log-update'
import type { Key } from './top-state.ts'

const { enterAlternativeScreen, exitAlternativeScreen, cursorHide, cursorShow, clearViewport, synchronizedOutput } = ansiEscapes
/** Colours that a line had begun. */
const PLAIN = '\u001b[0m'
/** Without this the library hides the cursor, and shows it again only when the process ends. */
const SHOWN = { showCursor: true }
/** Kept of what others write to stderr meanwhile: the newest. */
const MAX_STRAY = 100
/** A process that cannot be stopped, as nobody could continue it, goes on after this. */
const NOT_STOPPED_MS = 200

export interface FullScreenInit {
  onKey(key: Key): void
  /** The terminal is gone. */
  onGone(): void
  /** There is another size, or nothing on the screen: all is to be drawn. */
  onBlank(): void
}

/** The whole terminal, until `leave`: it is then as it was before, whatever ends the process. Only `SIGKILL` cannot be helped. */
export class FullScreen {
  readonly #init: FullScreenInit
  #isOpen = false
  /** Not written yet. */
  #frame = ''
  /** What the library writes to: all of a frame goes to the terminal at once. */
  readonly #sink = Object.create(process.stdout, {
    isTTY: { value: false },
    write: { value: (text: string) => (this.#frame += text) },
  }) as NodeJS.WriteStream
  #update = createLogUpdate(this.#sink, SHOWN)
  #drawn: string[] = []
  #stray: Array<string | Uint8Array> = []
  #write: typeof process.stderr.write | undefined

  constructor(init: FullScreenInit) {
    this.#init = init
  }

  get size(): { columns: number; rows: number } {
    const { columns, rows } = process.stdout
    return { columns, rows }
  }

  enter(): void {
    if (this.#isOpen) {
      return
    }
    this.#isOpen = true
    process.on('exit', this.#leave).prependListener('uncaughtException', this.#leave)
    process.on('SIGTSTP', this.#suspend).on('SIGCONT', this.#resume)
    process.stdout.write(enterAlternativeScreen + cursorHide)
    emitKeypressEvents(process.stdin)
    const { stdin } = process
    stdin.on('error', this.#init.onGone).on('end', this.#init.onGone)
    stdin.setRawMode(true).on('keypress', this.#onKeypress).resume()
    this.#keepStderr()
    process.stdout.on('resize', this.#blank)
    this.#blank()
  }

  /** Writes the lines that changed. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) {
      return
    }
    if (lines.length !== this.#drawn.length) {
      this.#drawn = [...lines]
      this.#update(this.#drawn.join('\n'))
    }
    // one after the other: the library writes all that stands between the first and the last that changed
    for (const [index, line] of lines.entries()) {
      if (line !== this.#drawn[index]) {
        this.#drawn[index] = line
        this.#update(this.#drawn.join('\n'))
      }
    }
    if (this.#frame !== '') {
      process.stdout.write(synchronizedOutput(this.#frame))
      this.#frame = ''
    }
  }

  /** The next lines are all written, on a screen that is cleared. */
  blank(): void {
    this.#drawn = []
    this.#update = createLogUpdate(this.#sink, SHOWN)
    this.#frame = clearViewport
  }

  leave(): void {
    if (!this.#isOpen) {
      return
    }
    this.#isOpen = false
    process.off('exit', this.#leave).off('uncaughtException', this.#leave)
    process.off('SIGTSTP', this.#suspend).off('SIGCONT', this.#resume)
    process.stdout.off('resize', this.#blank)
    const { stdin } = process
    stdin.off('keypress', this.#onKeypress).pause()
    process.stdout.write(PLAIN + cursorShow + exitAlternativeScreen)
    stdin.setRawMode(false).off('error', this.#init.onGone).off('end', this.#init.onGone)
    this.#giveStderr()
  }

  /** A line of the log would tear the screen: it is written when the screen is left. */
  #keepStderr(): void {
    const { stderr } = process
    if (stderr.isTTY) {
      this.#write = stderr.write
      stderr.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
        this.#stray.push(chunk)
        this.#stray.splice(0, this.#stray.length - MAX_STRAY)
        const done = rest.find((each) => typeof each === 'function')
        done?.()
        return true
      }) as typeof stderr.write
    }
  }

  #giveStderr(): void {
    if (this.#write != null) {
      process.stderr.write = this.#write
      this.#write = undefined
      for (const chunk of this.#stray.splice(0)) {
        process.stderr.write(chunk)
      }
    }
  }

  /** Stops the process as Ctrl-Z does elsewhere; the screen is entered again when it goes on. */
  suspend(): void {
    this.#suspend()
  }

  readonly #leave = (): void => this.leave()

  readonly #suspend = (): void => {
    this.leave()
    process.once('SIGCONT', this.#resume)
    // with what started it, as a terminal does
    process.kill(0, 'SIGTSTP')
    setTimeout(this.#resume, NOT_STOPPED_MS)
  }

  readonly #resume = (): void => {
    process.off('SIGCONT', this.#resume)
    // a shell may have changed the terminal
    this.leave()
    this.enter()
  }

  readonly #onKeypress = (_text: string | undefined, key: Key): void => this.#init.onKey(key)

  readonly #blank = (): void => {
    this.blank()
    this.#init.onBlank()
  }
}
