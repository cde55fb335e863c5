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
  /** The node goes on when the shell ends. @default false */
  leavesNode?: boolean
  runner: LineRunner
  config: Config
  session: Session
  history: History
}

const PROMPT = 'subnet> '
/** A second Ctrl-C within this ends the shell. */
const AGAIN_MS = 1_000
/** Of a line that stops the node, after that. */
const ANSWER_WITHIN_MS = 1_000
/** What is told while a line runs; of more, the newest. */
const MAX_TOLD = 100
/** Lines that wait behind the one that runs. */
const MAX_WAITING = 10_000

/**
 * The shell of a running node, on a terminal. Lines are run one after the other, in the order in which they came; while one runs, what
 * is typed is kept, not shown. What is told in between appears above the line being typed.
 */
export class Repl {
  readonly #init: ReplInit
  readonly #screen = new Screen((text) => this.tell(text))
  readonly #ended = Promise.withResolvers<void>()
  #terminal: Interface | undefined
  #waiting: string[] = []
  #running: AbortController | undefined
  #endOfInput = false
  /** The line that stops the node, while it runs. */
  #stop: Promise<unknown> | undefined
  #exitCode: number = SUCCESS
  /** The terminal is no longer the shell's. */
  #over = false
  /** While a line runs, or where a line that is shown cannot be drawn anew. */
  #told: string[] = []
  #untold = 0
  #interruptedAtMs = Number.NEGATIVE_INFINITY

  constructor(init: ReplInit) {
    this.#init = init
    // before readline does, which takes the line to be where it was: a terminal wraps its lines anew
    this.#screen.on('resize', () => Object.assign(this.#terminal ?? {}, { prevRows: this.#terminal?.getCursorPos().rows }))
  }

  /** Resolves when the user ends the shell, with the exit code that was asked for, or `signal` aborts. */
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
      // after Ctrl-D at an empty prompt
      process.stdout.write(this.#screen.lineFeed)
      this.#screen.restore()
      await this.#init.history.written()
    }
    return this.#exitCode
  }

  /** Shows a line above the one being typed; while a line runs, after it, unless it is to be shown `now`. */
  tell(line: string, { now = false } = {}): void {
    const { stdout } = process
    const text = wrapped(line, stdout.columns)
    if (this.#running != null && now) {
      stdout.write(`${this.#screen.lineFeed}${text}\n`)
    } else if (this.#running != null || isDumb()) {
      // the line may have printed half a line, redraw a table, or ask something
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
    // readline pauses when the process was stopped by Ctrl-Z
    terminal.on('SIGCONT', () => terminal.resume())
    // the terminal is gone
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

  /** Ctrl-D: what was typed before it still runs, and may be cancelled. */
  #endInput(): void {
    const again = this.#endOfInput
    this.#endOfInput = true
    if (this.#running == null || again || process.stdin.readableEnded) {
      this.#end()
      return
    }
    // first: a key that is pressed before the terminal is in raw mode again is lost
    this.#open()
    process.stdout.write(
      `${this.#screen.lineFeed}${this.#dim(`the ${this.#init.leavesNode === true ? 'shell ends' : 'node stops'} when this is done; Ctrl-C cancels it, Ctrl-D again does not wait`)}\n`,
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

  /** Where a line stops the node, its answer comes a moment after the node is gone. */
  async #stopped(): Promise<void> {
    if (this.#stop != null) {
      await Promise.race([this.#stop, delay(ANSWER_WITHIN_MS, undefined, { ref: false })])
    }
  }

  /** In lines that end between words. */
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

  /** Draws the prompt and what was typed, from the line of the screen on which the cursor is. */
  #redraw(): void {
    if (this.#terminal != null) {
      // readline goes up by the rows that it drew last, and there may be something else now
      Object.assign(this.#terminal, { prevRows: 0 })
      this.#terminal.prompt(true)
    }
  }

  /** What was pasted readline only writes where the cursor stands: in the middle of a line, or beyond its end, that is not enough. */
  #redrawPasted(): void {
    const terminal = this.#terminal
    if (terminal == null || this.#screen.muted || terminal.line === '' || isDumb()) {
      return
    }
    const { rows, cols } = terminal.getCursorPos()
    if (cols === 0) {
      // behind the last column, which is not yet the next row
      this.#screen.write(' ')
    }
    Object.assign(terminal, { prevRows: rows })
    terminal.prompt(true)
  }

  /** Whatever else is pressed, a Ctrl-C that follows is the first one again. */
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
    // after that, which is a key too
    this.#interruptedAtMs = typed === '' ? performance.now() : Number.NEGATIVE_INFINITY
    process.stdout.write('^C\n')
    // not by its own key for that, which would draw the rows of the old line over what is above
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

  /** Ctrl-C while a line runs: it never ends the shell, however often it is pressed. */
  #cancel(running: AbortController): void {
    this.#interruptedAtMs = Number.NEGATIVE_INFINITY
    const { length } = this.#waiting
    this.#waiting = []
    const lines = length === 0 ? '' : ` ${length} more lines were not run`
    const again = running.signal.aborted ? ' it is being cancelled; Ctrl-D twice does not wait for it' : ''
    running.abort(new Interrupted('SIGINT'))
    process.stdout.write(`${this.#screen.lineFeed}^C${lines}${again}\n`)
  }

  /** Gives a question the terminal. What was typed in the meantime is typed anew afterwards. */
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
    // a word that is complete is followed by the next; a folder goes on
    return [hits.length === 1 && only != null && !/[/=]$/.test(only) ? [`${only}${quote ?? ''} `] : hits, last]
  }
}
