import { Command } from '@oclif/core/command'
import type { Config } from '@oclif/core/config'
import type { RawSettings, SettingName, SettingSource, Settings } from '../node/home/config.ts'
import { HOME_HINT, type Home, homeAt, userFolder } from '../node/home/home.ts'
import { loadSettings, withFlags } from '../node/home/load-settings.ts'
import { logFilterOf, stderrLogger } from '../node/home/stderr-logger.ts'
import type { Logger } from '../observe/logger.ts'
import { DEFAULT_TIMEOUT_MS } from '../primitives/deadline.ts'
import { SUCCESS, SubnetError, UsageError } from '../primitives/errors.ts'
import { printable } from '../primitives/printable.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import { holderOf } from '../session/control/control-socket.ts'
import { openSession } from '../session/open-session.ts'
import type { Session, SessionOptions } from '../session/session.ts'
import { checkNodeSettings } from './check-node-settings.ts'
import { choosePeer } from './choose-peer.ts'
import { commonFlags } from './flags.ts'
import { aliasInMessages, type NamedPeerInit, namedPeer, namedPeerId } from './named-peer.ts'
import type { PublishQuestions } from './publish.ts'
import { type ShellContext, shellContext } from './shell-context.ts'
import { jsonText } from './text/json.ts'
import { wrapped } from './text/render.ts'
import { Interrupted, printError } from './text/report.ts'
import { helpOf, toUsageError } from './text/usage.ts'

/** A command that was told to end is gone after this, whatever still hangs. */
const LAST_WAY_OUT_MS = 1_800
const MORE_TIME = '--timeout DUR gives it longer'

/**
 * What every command has: its settings, a session, a deadline, an end by signal, one way to print and one to ask. As a line of a shell
 * it takes the first three from there.
 */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true
  static override baseFlags = commonFlags

  protected home!: Home
  protected settings!: Settings
  protected sources!: Record<SettingName, SettingSource>
  protected logger!: Logger
  /** Set where the command is a line of a shell. */
  protected readonly shell: ShellContext | undefined = shellContext.getStore()
  /** Aborts when the command is told to end. */
  protected readonly interrupted = new AbortController()
  /** What the whole command has where nothing else was said, in milliseconds. */
  protected defaultTimeoutMs = DEFAULT_TIMEOUT_MS
  readonly #startedAtMs = performance.now()
  #session: Promise<Session> | undefined
  #signal: NodeJS.Signals | undefined
  /** The peer, as it was named. */
  #named: string | undefined

  override async init(): Promise<void> {
    await super.init()
    if (this.shell == null) {
      for (const signal of this.endedBy) {
        // until now the process took some of them by itself
        process.removeAllListeners(signal).on(signal, this.#onSignal)
      }
    } else {
      this.#follow(this.shell.signal)
    }
    const { flags } = await this.parse(this.ctor)
    await this.#readSettings(flags as Record<string, unknown>, flags.home as string | undefined)
    const filter = logFilterOf(this.settings, this.sources)
    this.logger = stderrLogger(this.settings, filter)
    // libp2p has a format of its own, which is no JSON
    if (filter.libp2p === 'trace' && this.settings.logFormat === 'text') {
      const { enable } = await import('@libp2p/logger')
      enable('libp2p:*')
    }
  }

  /** The node this command runs on. @throws UsageError when a flag asks for another than the one that runs */
  protected async session(): Promise<Session> {
    this.#session ??= this.#openSession()
    return this.#session
  }

  /** The same anew, as a node may have come or gone meanwhile. */
  protected async sessionAnew(): Promise<Session> {
    const opened = await this.#session?.catch(() => undefined)
    this.#session = undefined
    if (this.shell == null) {
      await opened?.close()
    }
    return this.session()
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
    const givenMs = this.settings.timeout ?? this.defaultTimeoutMs
    const timeoutMs = Math.floor(givenMs - (performance.now() - this.#startedAtMs))
    if (timeoutMs <= 0) {
      throw new ProtocolError('TIMEOUT', `the command's ${givenMs} ms were over before it asked anything of the network`, {
        hint: MORE_TIME,
      })
    }
    return { signal: this.interrupted.signal, timeoutMs }
  }

  /** For a command that runs on and on: the signal that ends it, and the time that each of its calls has. */
  protected get eachCallOptions(): { signal: AbortSignal; timeoutMs: number } {
    return { signal: this.interrupted.signal, timeoutMs: this.settings.timeout ?? DEFAULT_TIMEOUT_MS }
  }

  /** Whether somebody is there to answer a question. */
  protected get canAsk(): boolean {
    if (this.jsonEnabled()) {
      return false
    }
    return this.shell == null ? process.stdin.isTTY === true && process.stderr.isTTY === true : this.shell.ask != null
  }

  /** Lets a question have the terminal. Only where `canAsk`. */
  protected async ask<T>(question: () => Promise<T>): Promise<T> {
    return this.shell?.ask == null ? question() : this.shell.ask(question)
  }

  /** Asks yes or no; undefined where nobody is there to answer. */
  protected get confirm(): ((question: string) => Promise<boolean>) | undefined {
    return this.canAsk
      ? async (text) => this.ask(async () => (await import('./text/prompt.ts')).confirm(text, this.interrupted.signal))
      : undefined
  }

  /** Asks yes or no, or for what is not to be seen; undefined where nobody is there to answer. */
  protected get questions(): PublishQuestions | undefined {
    const { confirm } = this
    const { signal } = this.interrupted
    return confirm == null
      ? undefined
      : { confirm, secret: async (text, check) => this.ask(async () => (await import('./text/prompt.ts')).secret(text, { check, signal })) }
  }

  /** The peer that was named; where none was, the one that somebody chooses from a list. @throws UsageError where nobody is there */
  protected async peerArgument(given: string | undefined): Promise<string> {
    if (given != null) {
      return this.peerNamed(given)
    }
    return choosePeer({
      help: helpOf(this.config, this.id),
      ask: this.canAsk ? async (question) => this.ask(question) : undefined,
      signal: this.interrupted.signal,
      peers: async () => (await this.session()).peers({ ...this.callOptions, all: true }),
    })
  }

  /** The peer that was named, in words that a session takes. @param typed false where it stands in a file @throws UsageError as `namedPeer` */
  protected async peerNamed(text: string, typed = this.canAsk, options = () => this.callOptions): Promise<string> {
    this.#named = text
    return namedPeer(text, this.#naming(typed, options))
  }

  /** The whole ID of a peer that was named; any other text as it is. @throws UsageError as `namedPeer` */
  protected async peerIdNamed(text: string): Promise<string> {
    const options = (): SessionOptions => this.callOptions
    return namedPeerId(text, this.#naming(this.canAsk, options))
  }

  /** Undefined where no alias was named, or there is no session to ask. */
  async #rewording(): Promise<((message: string) => string) | undefined> {
    const session = await this.#session?.catch(() => undefined)
    return session == null || this.#named == null ? undefined : aliasInMessages(this.#named, session)
  }

  #naming(typed: boolean, options: () => SessionOptions): NamedPeerInit {
    return { session: async () => this.session(), options, typed, tell: (line) => this.tell(line) }
  }

  /** The peer, and the protocol of it that was named. @throws UsageError where none was */
  protected async protocolArguments(given: {
    peer?: string | undefined
    protocol?: string | undefined
  }): Promise<{ peer: string; protocolId: string }> {
    if (given.protocol == null && given.peer?.startsWith('/') === true && !given.peer.includes('/p2p/')) {
      throw new UsageError(`missing <peer>: ${given.peer} is a protocol`, { hint: `the peer comes first; ${helpOf(this.config, this.id)}` })
    }
    const peer = await this.peerArgument(given.peer)
    if (given.protocol == null) {
      throw new UsageError('missing <protocol>', {
        hint: `"${this.config.bin} protocol list ${peer}" lists those of the peer; ${helpOf(this.config, this.id)}`,
      })
    }
    return { peer, protocolId: given.protocol }
  }

  /** Where a node runs in this home, it does not follow what was changed in it. */
  protected async tellOfRestart(): Promise<void> {
    if (this.shell != null || (await holderOf(this.home)) != null) {
      this.logToStderr('the node that runs here goes on as it is: this takes effect at the next start')
    }
  }

  /** A line on stderr, if there is one to write. */
  protected notice(text: string | undefined): void {
    if (text != null) {
      this.logToStderr(text)
    }
  }

  /** A line on stderr under --json too, as the age of an answer. */
  protected tell(text: string | undefined): void {
    if (text != null) {
      process.stderr.write(`${wrapped(printable(text), process.stderr.columns)}\n`)
    }
  }

  /** Writes the answer, all of it, before the command goes on. What stands against it is told by stdout itself. */
  protected async writeStdout(bytes: Uint8Array | string): Promise<void> {
    await new Promise<void>((resolve) => {
      process.stdout.write(bytes, () => resolve())
    })
  }

  /** In a terminal lines end between words. */
  override logToStderr(text = ''): void {
    super.logToStderr(wrapped(text, process.stderr.columns))
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${jsonText(json)}\n`)
  }

  protected override async catch(error: Error): Promise<void> {
    if (error instanceof Interrupted) {
      // Ctrl-C in a question: there it is a key, no signal
      this.#signal ??= error.signal
    } else if (!this.interrupted.signal.aborted || (error instanceof SubnetError && error === this.interrupted.signal.reason)) {
      const json = this.jsonEnabled()
      const reword = json ? undefined : await this.#rewording()
      printError(toUsageError(error, this.config, this.id), json, ['debug', 'trace'].includes(this.settings?.logLevel), reword)
    }
  }

  protected override async finally(error: Error | undefined): Promise<void> {
    if (this.shell != null) {
      return
    }
    try {
      await (await this.#session)?.close()
    } catch (closing) {
      // the command's own failure is what counts; a session that cannot close is a failure only where all else went well
      if (error == null) {
        throw closing
      }
    } finally {
      // one that ends cleanly goes on taking them until it is gone
      if (!this.endsCleanlyBySignal) {
        this.#leaveSignals()
      }
    }
  }

  /** The signals that tell the command to end, and that it takes itself. */
  protected get endedBy(): NodeJS.Signals[] {
    return ['SIGINT', 'SIGTERM']
  }

  /** True for a command whose proper end is a signal: it then exits 0. */
  protected get endsCleanlyBySignal(): boolean {
    return false
  }

  async #readSettings(flags: Record<string, unknown>, home: string | undefined): Promise<void> {
    const given = camelCased(flags)
    if (this.shell == null) {
      this.home = homeAt(home ?? (process.env.SUBNET_HOME || defaultHome(this.config)))
      Object.assign(this, await loadSettings({ flags: given, env: process.env, home: this.home }))
      return
    }
    this.home = this.shell.home
    if (home != null && homeAt(home).path !== this.home.path) {
      throw new UsageError(`--home: this shell is of ${this.home.path}`, { hint: 'run it outside of the shell, as a command of its own' })
    }
    Object.assign(this, withFlags(this.shell, given))
  }

  async #openSession(): Promise<Session> {
    const { home, settings, sources, logger } = this
    let session = this.shell?.session
    if (session == null) {
      const { signal } = this.interrupted
      session = await openSession({ home, settings, agent: this.agent, log: logger, signal, timeoutMs: settings.timeout })
    }
    await checkNodeSettings(session, { home, settings, sources, logger, options: this.callOptions }).catch(async (error) => {
      await (this.shell == null ? session.close() : undefined)
      throw error
    })
    return session
  }

  #follow(signal: AbortSignal): void {
    const onAbort = (): void => this.interrupted.abort(signal.reason)
    if (signal.aborted) {
      onAbort()
    } else {
      signal.addEventListener('abort', onAbort, { once: true })
    }
  }

  #leaveSignals(): void {
    for (const signal of this.endedBy) {
      process.off(signal, this.#onSignal)
    }
    if (this.#signal != null) {
      process.kill(process.pid, this.#signal)
    }
  }

  /** At once, whatever still hangs: by `exit`, so that those who listen for it end what they started. */
  #exit(): never {
    if (!this.endsCleanlyBySignal) {
      process.once('exit', () => this.#leaveSignals())
    }
    process.exit(SUCCESS)
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#signal = signal
    this.interrupted.abort(new Interrupted(signal))
    setTimeout(() => this.#exit(), LAST_WAY_OUT_MS).unref()
  }
}

/** @throws UsageError for a user without a home directory; oclif would take a folder of all users */
function defaultHome({ dataDir, windows }: Config): string {
  if (userFolder() == null && !windows && !process.env.XDG_DATA_HOME) {
    throw new UsageError('this user has no home directory, and so no home for a node', { hint: HOME_HINT })
  }
  return dataDir
}

function camelCased(flags: Record<string, unknown>): RawSettings {
  const entries = Object.entries(flags).map(([name, value]) => [
    name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return Object.fromEntries(entries)
}
