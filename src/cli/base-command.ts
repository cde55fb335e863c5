import { Command } from '@oclif/core'
import chalk, { chalkStderr } from 'chalk'
import type { RawSettings, Settings } from '../node/config.ts'
import { loadSettings } from '../node/config.ts'
import { type Home, homeAt } from '../node/home.ts'
import { createLogger, type Logger } from '../primitives/log.ts'
import { ProtocolError } from '../protocol/errors.ts'
import type { Session } from '../session/session.ts'
import { commonFlags } from './flags.ts'
import { printable } from './render.ts'
import { Interrupted, printError } from './report.ts'
import { toUsageError } from './usage.ts'

const DEFAULT_TIMEOUT_MS = 60_000
/** A command that was told to end is gone after this, whatever still hangs. */
const LAST_WAY_OUT_MS = 1_800
const MORE_TIME = '--timeout DUR gives it longer'

/** What every command has: its settings, a session, a deadline, an end by signal, and one way to print. */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true
  static override baseFlags = commonFlags

  protected home!: Home
  protected settings!: Settings
  protected logger!: Logger
  protected readonly interrupted = new AbortController()
  readonly #startedAtMs = performance.now()
  #session: Promise<Session> | undefined
  #signal: NodeJS.Signals | undefined

  override async init(): Promise<void> {
    await super.init()
    if (process.env.NO_COLOR != null || process.env.TERM === 'dumb' || this.argv.includes('--no-color')) {
      chalk.level = 0
      chalkStderr.level = 0
    }
    process.on('SIGINT', this.#onSignal)
    process.on('SIGTERM', this.#onSignal)
    const { flags } = await this.parse(this.ctor)
    this.home = homeAt(flags.home ?? (process.env.SUBNET_HOME || this.config.dataDir))
    const { settings } = await loadSettings({ flags: camelCased(flags), env: process.env, home: this.home })
    this.settings = settings
    this.logger = createLogger(settings.logLevel, (line) => process.stderr.write(`${printable(line.trimEnd())}\n`))
    if (settings.logLevel === 'trace') {
      const { enable } = await import('@libp2p/logger')
      enable('libp2p:*')
    }
  }

  /** The node this command runs on. */
  protected async session(): Promise<Session> {
    this.#session ??= (async () => {
      const { LocalSession } = await import('../session/local-session.ts')
      return new LocalSession({ home: this.home, settings: this.settings, agent: this.agent, log: this.logger })
    })()
    return this.#session
  }

  /** What the node calls itself to others. */
  protected get agent(): string {
    return `${this.config.name}/${this.config.version}`
  }

  /**
   * For each call of the session: the signal that ends the command, and what is left of its time.
   * @throws ProtocolError TIMEOUT when nothing is left
   */
  protected get callOptions(): { signal: AbortSignal; timeoutMs: number } {
    const givenMs = this.settings.timeout ?? DEFAULT_TIMEOUT_MS
    const timeoutMs = Math.floor(givenMs - (performance.now() - this.#startedAtMs))
    if (timeoutMs <= 0) {
      throw new ProtocolError('TIMEOUT', `the command's ${givenMs} ms were over before it asked anything of the network`, {
        hint: MORE_TIME,
      })
    }
    return { signal: this.interrupted.signal, timeoutMs }
  }

  /** Writes the answer, all of it, before the command goes on. What stands against it is told by stdout itself. */
  protected async writeStdout(bytes: Uint8Array | string): Promise<void> {
    await new Promise<void>((resolve) => {
      process.stdout.write(bytes, () => resolve())
    })
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json)}\n`)
  }

  protected override async catch(error: Error): Promise<void> {
    if (!this.interrupted.signal.aborted) {
      printError(toUsageError(error, this.config, this.id), this.jsonEnabled(), ['debug', 'trace'].includes(this.settings?.logLevel))
    }
  }

  protected override async finally(error: Error | undefined): Promise<void> {
    try {
      await (await this.#session)?.close()
    } catch (closing) {
      // the command's own failure is what counts; a session that cannot close is a failure only where all else went well
      if (error == null) {
        throw closing
      }
    } finally {
      process.off('SIGINT', this.#onSignal)
      process.off('SIGTERM', this.#onSignal)
      if (this.#signal != null && !this.endsCleanlyBySignal) {
        process.kill(process.pid, this.#signal)
      }
    }
  }

  /** True for a command whose proper end is a signal: it then exits 0. */
  protected get endsCleanlyBySignal(): boolean {
    return false
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#signal = signal
    this.interrupted.abort(new Interrupted(signal))
    setTimeout(() => {
      process.off(signal, this.#onSignal)
      process.kill(process.pid, signal)
    }, LAST_WAY_OUT_MS).unref()
  }
}

function camelCased(flags: Record<string, unknown>): RawSettings {
  const entries = Object.entries(flags).map(([name, value]) => [
    name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return Object.fromEntries(entries)
}
