import { emitKeypressEvents } from 'node:readline'
import ansiEscapes from 'ansi-escapes'
import { createLogUpdate } from 'log-update'
import type { Key } from './top-state.ts'

const { enterAlternativeScreen, exitAlternativeScreen, cursorHide, cursorShow, clearViewport, synchronizedOutput } = ansiEscapes
/** Resets the colours of an unfinished line. */
const PLAIN = '\u001b[0m'
/** By default, the library hides the cursor, and restores it only at process exit. */
const SHOWN = { showCursor: true }
/** The maximum number of chunks kept from stderr; the newest are kept. */
const MAX_STRAY = 100
/** The wait for a suspend to take effect. A process that the system does not stop then continues. */
const NOT_STOPPED_MS = 200

export interface FullScreenInit {
  onKey(key: Key): void
  /** The terminal has closed. */
  onGone(): void
  /** The size has changed, or the screen is blank: draw everything. */
  onBlank(): void
}

/** Takes over the terminal until `leave`, and restores it at every kind of exit except `SIGKILL`. */
export class FullScreen {
  readonly #init: FullScreenInit
  #isOpen = false
  /** Left for Ctrl-Z, to be entered again. */
  #isSuspended = false
  /** Output not written yet. */
  #frame = ''
  /** The library's output, collected so that each frame is written at once. */
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
    process.on('exit', this.#leave)
    process.on('SIGTSTP', this.#suspend).on('SIGCONT', this.#resume)
    emitKeypressEvents(process.stdin)
    const { stdin } = process
    stdin.on('error', this.#init.onGone).on('end', this.#init.onGone)
    // first: this stops a process that is in the background, which then draws nothing
    stdin.setRawMode(true).on('keypress', this.#onKeypress).resume()
    process.stdout.write(enterAlternativeScreen + cursorHide)
    this.#keepStderr()
    process.stdout.on('resize', this.#blank)
    this.#blank()
  }

  /** Writes the changed lines. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) {
      return
    }
    if (lines.length !== this.#drawn.length) {
      this.#drawn = [...lines]
      this.#update(this.#drawn.join('\n'))
    }
    // updated line by line, because the library rewrites everything between the first and the last changed line
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

  /** Clears the screen, so that the next draw writes every line. */
  blank(): void {
    this.#drawn = []
    this.#update = createLogUpdate(this.#sink, SHOWN)
    this.#frame = clearViewport
  }

  leave(): void {
    this.#isSuspended = false
    process.off('SIGCONT', this.#resume)
    if (!this.#isOpen) {
      return
    }
    this.#isOpen = false
    process.off('exit', this.#leave)
    process.off('SIGTSTP', this.#suspend)
    process.stdout.off('resize', this.#blank)
    const { stdin } = process
    stdin.off('keypress', this.#onKeypress).pause()
    process.stdout.write(PLAIN + cursorShow + exitAlternativeScreen)
    stdin.setRawMode(false).off('error', this.#init.onGone).off('end', this.#init.onGone)
    this.#giveStderr()
  }

  /** Holds log lines back until the screen is left, because they would garble the screen. */
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

  /** Suspends the process like Ctrl-Z; the screen is entered again on resume. */
  suspend(): void {
    this.#suspend()
  }

  readonly #leave = (): void => this.leave()

  readonly #suspend = (): void => {
    this.leave()
    this.#isSuspended = true
    process.on('SIGCONT', this.#resume)
    // signals the whole process group, as a terminal does
    process.kill(0, 'SIGTSTP')
    setTimeout(() => (this.#isSuspended ? this.#resume() : undefined), NOT_STOPPED_MS)
  }

  readonly #resume = (): void => {
    // a shell may have changed the terminal's mode
    this.leave()
    this.enter()
  }

  readonly #onKeypress = (_text: string | undefined, key: Key): void => this.#init.onKey(key)

  readonly #blank = (): void => {
    this.blank()
    this.#init.onBlank()
  }
}
