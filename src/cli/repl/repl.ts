import { clearScreenDown, cursorTo, type Interface, type Key, moveCursor } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '@oclif/core/config'
import chalk from 'chalk'
import { SUCCESS } from '../../primitives/errors.ts'
import type { Session } from '../../session/session.ts'
import { wrapped } from '../text/render.ts'
import { Interrupted } from '../text/report.ts'
import { typedAs } from './begun-words.ts'
import { BUILTINS, clearsScreen, exitCodeOf, stopsNode } from './builtins.ts'
import { completeLine } from './completer.ts'
import { isDumb, openEditor } from './editor.ts'
import type { History } from './history.ts'
import type { LineRunner } from './line-runner.ts'
import { peerNames, protocolNames } from './peer-names.ts'
import { Screen } from './screen.ts'

export interface ReplInit {
  /** True if the node continues when the shell ends. @default false */
  leavesNode?: boolean
  runner: LineRunner
  config: Config
  session: Session
  history: History
}

const PROMPT = 'subnet> '
/** A second Ctrl-C within this time ends the shell, in milliseconds. */
const AGAIN_MS = 1_000
/** Maximum wait for the answer of a `stop` line after the node has stopped, in milliseconds. */
const ANSWER_WITHIN_MS = 1_000
/** Maximum lines kept while a command runs; the newest are kept. */
const MAX_TOLD = 100
/** Maximum lines that wait for the running line. */
const MAX_WAITING = 10_000

/**
 * The shell of a running node, on a terminal. Lines run one at a time, in the order of their input. Text typed while a line runs is kept
 * but not shown. Notices appear above the line being typed.
 */
export class Repl {
  readonly #init: ReplInit
  readonly #screen = new Screen((text) => this.tell(text))
  readonly #ended = Promise.withResolvers<void>()
  #terminal: Interface | undefined
  #waiting: string[] = []
  #running: AbortController | undefined
  #endOfInput = false
  /** The running line that stops the node. */
  #stop: Promise<unknown> | undefined
  #exitCode: number = SUCCESS
  /** True after the shell has given up the terminal. */
  #over = false
  /** Notices that are held while a line runs, or while the shown line cannot be redrawn. */
  #told: string[] = []
  #untold = 0
  #interruptedAtMs = Number.NEGATIVE_INFINITY

  constructor(init: ReplInit) {
    this.#init = init
    // before readline, which assumes an unchanged position, although a resized terminal wraps lines again
    this.#screen.on('resize', () => Object.assign(this.#terminal ?? {}, { prevRows: this.#terminal?.getCursorPos().rows }))
  }

  /** Resolves with the exit code when the user ends the shell, or when `signal` aborts. */
  async run(signal: AbortSignal): Promise<number> {
    const end = (): void => void this.#stopped().then(() => this.#end())
    signal.addEventListener('abort', end, { once: true })
    this.#open()
    this.#terminal?.prompt()
    try {
      await (signal.aborted ? undefined : this.#ended.promise)
    } finally {
      signal.removeEventListener('abort', end)
      this.#over = true
      this.#running?.abort(new Interrupted('SIGINT'))
      this.#running = undefined
      this.#close()
      this.#screen.muted = false
      this.#tellTold()
      // needed after Ctrl-D at an empty prompt
      process.stdout.write(this.#screen.lineFeed)
      this.#screen.restore()
      await this.#init.history.written()
    }
    return this.#exitCode
  }

  /** Shows a line above the prompt. While a command runs, the line is shown after it, or at once if `now` is true. */
  tell(line: string, { now = false } = {}): void {
    const { stdout } = process
    const text = wrapped(line, stdout.columns)
    if (this.#running != null && now) {
      stdout.write(`${this.#screen.lineFeed}${text}\n`)
    } else if (this.#running != null || isDumb()) {
      // the running command may have printed half a line, redraw a table, or ask a question
      this.#told.push(text)
      this.#untold += this.#told.splice(0, this.#told.length - MAX_TOLD).length
    } else if (this.#terminal == null) {
      stdout.write(`${this.#screen.lineFeed}${text}\n`)
    } else {
      moveCursor(stdout, 0, -this.#terminal.getCursorPos().rows)
      cursorTo(stdout, 0)
      clearScreenDown(stdout)
      stdout.write(`${text}\n`)
      this.#redraw()
    }
  }

  #open(begun = ''): void {
    const { history } = this.#init
    const terminal = openEditor({
      input: process.stdin,
      output: this.#screen,
      prompt: chalk.cyan(PROMPT),
      history: history.lines,
      complete: async (line) => this.#complete(line),
      onKey: (key) => this.#onKey(key),
    })
    terminal.on('line', (line) => this.#take(line))
    terminal.on('SIGINT', () => this.#interrupt())
    // readline pauses after a Ctrl-Z
    terminal.on('SIGCONT', () => terminal.resume())
    // the terminal has closed
    terminal.on('error', () => this.#end())
    const onData = (chunk: Uint8Array | string): void => (chunk.length > 1 ? this.#redrawPasted() : undefined)
    process.stdin.on('data', onData)
    terminal.once('close', () => process.stdin.off('data', onData))
    terminal.on('close', () => {
      if (this.#terminal === terminal) {
        this.#terminal = undefined
        this.#endInput()
      }
    })
    this.#terminal = terminal
    terminal.write(begun)
  }

  /** Handles Ctrl-D. Lines typed before it still run, and can be cancelled. */
  #endInput(): void {
    const again = this.#endOfInput
    this.#endOfInput = true
    if (this.#running == null || again || process.stdin.readableEnded) {
      this.#end()
      return
    }
    // first, because a key pressed before the return to raw mode is lost
    this.#open()
    process.stdout.write(
      `${this.#screen.lineFeed}${this.#dim(`the ${this.#init.leavesNode === true ? 'shell ends' : 'node stops'} after this command; Ctrl-C cancels it, Ctrl-D again does not wait`)}\n`,
    )
  }

  #close(): void {
    const terminal = this.#terminal
    this.#terminal = undefined
    terminal?.close()
  }

  #end(): void {
    this.#waiting = []
    this.#ended.resolve()
  }

  #take(line: string): void {
    if (this.#endOfInput) {
      return
    }
    this.#init.history.add(line)
    this.#interruptedAtMs = Number.NEGATIVE_INFINITY
    if (this.#waiting.length >= MAX_WAITING) {
      this.tell(`more than ${MAX_WAITING} lines wait: not run: ${line}`)
      return
    }
    this.#waiting.push(line)
    if (this.#running == null) {
      this.#screen.muted = true
      void this.#runAll()
    }
  }

  async #runAll(): Promise<void> {
    for (let shown = true; this.#waiting.length > 0; shown = false) {
      const line = this.#waiting.shift() as string
      if (!shown) {
        process.stdout.write(`${this.#screen.lineFeed}${chalk.cyan(PROMPT)}${line}\n`)
      }
      const code = exitCodeOf(line)
      if (code != null) {
        this.#exitCode = code
        this.#end()
        return
      }
      if (clearsScreen(line)) {
        this.#screen.clear()
        continue
      }
      this.#running = new AbortController()
      const run = this.#init.runner.run(line, { signal: this.#running.signal, ask: async (question) => this.#lend(question) })
      this.#stop = stopsNode(line) ? run : undefined
      await run
      if (this.#over) {
        return
      }
      this.#running = undefined
      this.#tellTold()
    }
    if (this.#endOfInput) {
      this.#end()
      return
    }
    this.#screen.muted = false
    process.stdout.write(this.#screen.lineFeed)
    this.#redraw()
  }

  /** Waits for the answer of a `stop` line, which arrives shortly after the end of the node. */
  async #stopped(): Promise<void> {
    if (this.#stop != null) {
      await Promise.race([this.#stop, delay(ANSWER_WITHIN_MS, undefined, { ref: false })])
    }
  }

  /** Dims a text, wrapped between words. */
  #dim(text: string): string {
    return chalk.dim(wrapped(text, process.stdout.columns))
  }

  #tellTold(): void {
    const missing = this.#untold === 0 ? [] : [chalk.dim(`… ${this.#untold} more, before these:`)]
    this.#untold = 0
    for (const text of [...missing, ...this.#told.splice(0)]) {
      process.stdout.write(`${this.#screen.lineFeed}${text}\n`)
    }
  }

  /** Redraws the prompt and the typed text, starting in the row of the cursor. */
  #redraw(): void {
    if (this.#terminal != null) {
      // readline would go up by the rows of its last drawing, which may hold other text now
      Object.assign(this.#terminal, { prevRows: 0 })
      this.#terminal.prompt(true)
    }
  }

  /** Redraws a pasted text. readline only writes it at the cursor, which is wrong in the middle of a line or beyond the row. */
  #redrawPasted(): void {
    const terminal = this.#terminal
    if (terminal == null || this.#screen.muted || terminal.line === '' || isDumb()) {
      return
    }
    const { rows, cols } = terminal.getCursorPos()
    if (cols === 0) {
      // after the last column, the cursor is not yet in the next row
      this.#screen.write(' ')
    }
    Object.assign(terminal, { prevRows: rows })
    terminal.prompt(true)
  }

  /** Any other key resets the count of Ctrl-C. */
  #onKey({ ctrl, name }: Key): void {
    if (ctrl !== true || name !== 'c') {
      this.#interruptedAtMs = Number.NEGATIVE_INFINITY
    }
  }

  #interrupt(): void {
    if (this.#running != null) {
      this.#cancel(this.#running)
      return
    }
    const typed = this.#terminal?.line ?? ''
    const again = typed === '' && performance.now() - this.#interruptedAtMs < AGAIN_MS
    if (again) {
      this.#end()
      return
    }
    this.#terminal?.write(null, { ctrl: true, name: 'e' })
    // after the simulated key above, which resets this time
    this.#interruptedAtMs = typed === '' ? performance.now() : Number.NEGATIVE_INFINITY
    process.stdout.write('^C\n')
    // readline's own key for this would draw the rows of the old line over the text above
    Object.assign(this.#terminal ?? {}, { line: '', cursor: 0 })
    if (typed === '') {
      process.stdout.write(
        this.#dim(
          `Ctrl-C again at once, Ctrl-D or "exit" ${this.#init.leavesNode === true ? 'leaves the node running' : 'stops the node'}\n`,
        ),
      )
    }
    this.#redraw()
  }

  /** Cancels the running line on Ctrl-C. Repeated presses do not end the shell. */
  #cancel(running: AbortController): void {
    this.#interruptedAtMs = Number.NEGATIVE_INFINITY
    const { length } = this.#waiting
    this.#waiting = []
    const lines = length === 0 ? '' : ` ${length} more lines were not run`
    const again = running.signal.aborted ? ' the command is being cancelled; Ctrl-D twice does not wait for it' : ''
    running.abort(new Interrupted('SIGINT'))
    process.stdout.write(`${this.#screen.lineFeed}^C${lines}${again}\n`)
  }

  /** Gives the terminal to a question. Text typed before the question is restored afterwards. */
  async #lend<T>(question: () => Promise<T>): Promise<T> {
    const begun = this.#terminal?.line ?? ''
    this.#screen.lend()
    this.#close()
    try {
      return await question()
    } finally {
      if (!this.#over) {
        this.#screen.watch()
        this.#open(begun)
      }
    }
  }

  async #complete(line: string): Promise<[string[], string]> {
    const { config, session } = this.#init
    const { words, last, quote } = await completeLine(line, {
      config,
      builtins: BUILTINS,
      peers: async () => peerNames(session),
      protocols: async (peer) => protocolNames(session, peer),
    })
    const hits = words.map((word) => typedAs(word, last, quote))
    const [only] = hits
    // a complete word is followed by a blank; a folder continues
    return [hits.length === 1 && only != null && !/[/=]$/.test(only) ? [`${only}${quote ?? ''} `] : hits, last]
  }
}
