import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { type IPty, spawn } from '@lydell/node-pty'
import { Screen } from './screen.ts'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const PRESS_EVERY_MS = 200
/** What does not happen within this, however busy the machine is, does not happen. */
const HAPPENS_WITHIN_MS = 30_000

export interface PtyOptions {
  columns?: number
  rows?: number
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** In place of the command: bash with job control, in which `"$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN"` is it. @default false */
  shell?: boolean
  /** Another program than this tree's `subnet`. */
  program?: string
}

/** A command in a terminal of its own, and what its user sees. */
export class Terminal {
  readonly screen: Screen
  readonly ended: Promise<number>
  /** All that was written to the terminal, as it came. */
  output = ''
  readonly #pty: IPty
  readonly #news = new EventTarget()
  #over = false

  constructor(
    home: string,
    args: string[],
    { columns = 80, rows = 24, env = {}, shell = false, cwd = process.cwd(), program }: PtyOptions = {},
  ) {
    this.screen = new Screen(columns)
    const name = env['TERM'] ?? 'xterm-256color'
    const own = Object.entries(process.env).filter(([name]) => !/^SUBNET_|^NO_COLOR$|^FORCE_COLOR$|^CI$/.test(name))
    const subnet: [string, string[]] = program == null ? [process.execPath, [BIN, ...args]] : [program, args]
    const command: [string, string[]] = shell ? ['bash', ['--norc', '--noprofile', '-i']] : subnet
    const names = shell ? { SUBNET_TEST_NODE: process.execPath, SUBNET_TEST_BIN: BIN, PS1: 'bash> ' } : {}
    this.#pty = spawn(...command, {
      cols: columns,
      rows,
      name,
      cwd,
      env: { ...Object.fromEntries(own), TERM: name, SUBNET_HOME: home, SUBNET_PORT_MAPPING: 'false', ...names, ...env } as Record<
        string,
        string
      >,
    })
    this.#pty.onData((data) => {
      this.output += data
      this.screen.write(data)
      this.#news.dispatchEvent(new Event('news'))
    })
    this.ended = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        this.#over = true
        this.#news.dispatchEvent(new Event('news'))
        resolve(signal == null || signal === 0 ? exitCode : 128 + signal)
      })
    })
  }

  get pid(): number {
    return this.#pty.pid
  }

  /** Presses keys; a line is ended by `\r`. */
  type(text: string): void {
    this.#pty.write(text)
  }

  /** Resolves when the command begins to draw what that changes. */
  async resize(columns: number, rows: number): Promise<void> {
    this.screen.resize(columns)
    const drawn = new Promise((resolve) => this.#news.addEventListener('news', resolve, { once: true }))
    this.#pty.resize(columns, rows)
    await drawn
  }

  /** Waits until the screen is as wanted. */
  async until(wanted: (screen: Screen) => boolean, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`never seen: ${what}; the screen is\n${this.screen.text}`)), HAPPENS_WITHIN_MS)
    })
    try {
      while (!wanted(this.screen)) {
        assert.ok(!this.#over, `ended before ${what}; the screen is\n${this.screen.text}`)
        await Promise.race([late, new Promise((resolve) => this.#news.addEventListener('news', resolve, { once: true }))])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Presses a key until the screen shows this: for what one press may or may not do. */
  async presses(key: string, text: RegExp): Promise<void> {
    const again = setInterval(() => this.type(key), PRESS_EVERY_MS)
    try {
      await this.shows(text)
    } finally {
      clearInterval(again)
    }
  }

  /** Waits until the screen shows this, anywhere. */
  async shows(text: RegExp): Promise<void> {
    await this.until((screen) => text.test(screen.text), String(text))
  }

  /** Waits for the prompt, with this typed behind it. */
  async prompt(typed = ''): Promise<void> {
    await this.until(({ line }) => line === `subnet> ${typed}`.trimEnd(), `the prompt with "${typed}"`)
  }

  /** Closes the window: the terminal is gone. Resolves when the command is too. */
  async close(): Promise<void> {
    ;(this.#pty as IPty & { destroy(): void }).destroy()
    await this.ended
  }

  async end(): Promise<void> {
    if (!this.#over) {
      this.#pty.kill('SIGKILL')
    }
    await this.ended
  }
}
