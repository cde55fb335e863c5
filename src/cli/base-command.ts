import { Command } from '@oclif/core/command'
import type { Config } from '@oclif/core/config'
import type { SettingName, SettingSource, Settings } from '../node/home/config.ts'
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
import { commonFlags, settingsOf } from './flags.ts'
import { aliasInMessages, type NamedPeerInit, namedPeer, namedPeerId } from './named-peer.ts'
import type { PublishQuestions } from './publish.ts'
import { type ShellContext, shellContext } from './shell-context.ts'
import { jsonText } from './text/json.ts'
import { wrapped } from './text/render.ts'
import { Interrupted, printError } from './text/report.ts'
import { helpOf, toUsageError } from './text/usage.ts'

/** A command exits at the latest this long after a signal, in milliseconds, even if a call hangs. */
const LAST_WAY_OUT_MS = 1_800
const MORE_TIME = '--timeout DUR allows more time'

/** The base of all commands. In a shell, a command uses the settings, the session and the signal of the shell. */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true
  static override baseFlags = commonFlags

  protected home!: Home
  protected settings!: Settings
  protected sources!: Record<SettingName, SettingSource>
  protected logger!: Logger
  /** Set if the command is a line of a shell. */
  protected readonly shell: ShellContext | undefined = shellContext.getStore()
  /** Aborts when a signal or the shell ends the command. */
  protected readonly interrupted = new AbortController()
  /** True for a command that runs only on a running node. */
  protected readonly needsNode: boolean = false
  /** The default time limit of the whole command, in milliseconds. */
  protected defaultTimeoutMs = DEFAULT_TIMEOUT_MS
  /** Says how far a call came. Printed if Ctrl-C or a signal ends the command. */
  protected cancelled: (() => string) | undefined
  readonly #startedAtMs = performance.now()
  #session: Promise<Session> | undefined
  #signal: NodeJS.Signals | undefined
  /** The peer as the user named it. */
  #named: string | undefined

  override async init(): Promise<void> {
    await super.init()
    if (this.shell == null) {
      for (const signal of this.endedBy) {
        // replaces the listeners that the process had before the command
        process.removeAllListeners(signal).on(signal, this.#onSignal)
      }
    } else {
      this.#follow(this.shell.signal)
    }
    const { flags } = await this.parse(this.ctor)
    await this.#readSettings(flags as Record<string, unknown>, flags.home as string | undefined)
    const filter = logFilterOf(this.settings, this.sources)
    this.logger = stderrLogger(this.settings, filter)
    // libp2p's log format is not JSON
    if (filter.libp2p === 'trace' && this.settings.logFormat === 'text') {
      const { enable } = await import('@libp2p/logger')
      enable('libp2p:*')
    }
  }

  /** The node this command runs on. @throws NodeError, UsageError if a flag does not match the running node */
  protected async session(): Promise<Session> {
    this.#session ??= this.#openSession()
    return this.#session
  }

  /** Opens the session again, because a node may have started or stopped in the meantime. */
  protected async sessionAnew(): Promise<Session> {
    const opened = await this.#session?.catch(() => undefined)
    this.#session = undefined
    if (this.shell == null) {
      await opened?.close()
    }
    return this.session()
  }

  /** The name and version that the node reports to other peers. */
  protected get agent(): string {
    return `${this.config.name}/${this.config.version}`
  }

  /**
   * Options for a session call: the command's signal, and the remaining time of the whole command.
   * @throws ProtocolError TIMEOUT if no time is left
   */
  protected get callOptions(): { signal: AbortSignal; timeoutMs: number } {
    const givenMs = this.settings.timeout ?? this.defaultTimeoutMs
    const timeoutMs = Math.floor(givenMs - (performance.now() - this.#startedAtMs))
    if (timeoutMs <= 0) {
      throw new ProtocolError('TIMEOUT', `the timeout of ${givenMs} ms ended before the command sent anything to the network`, {
        hint: MORE_TIME,
      })
    }
    return { signal: this.interrupted.signal, timeoutMs }
  }

  /** Options for a call of a command that runs until it is stopped: the command's signal, and a time limit for each call. */
  protected get eachCallOptions(): { signal: AbortSignal; timeoutMs: number } {
    return { signal: this.interrupted.signal, timeoutMs: this.settings.timeout ?? DEFAULT_TIMEOUT_MS }
  }

  /** True if a person can answer a question. */
  protected get canAsk(): boolean {
    if (this.jsonEnabled()) {
      return false
    }
    return this.shell == null ? process.stdin.isTTY === true && process.stderr.isTTY === true : this.shell.ask != null
  }

  /** Gives the terminal to a question. Requires `canAsk`. */
  protected async ask<T>(question: () => Promise<T>): Promise<T> {
    return this.shell?.ask == null ? question() : this.shell.ask(question)
  }

  /** Asks yes or no; undefined unless `canAsk`. */
  protected get confirm(): ((question: string) => Promise<boolean>) | undefined {
    return this.canAsk
      ? async (text) => this.ask(async () => (await import('./text/prompt.ts')).confirm(text, this.interrupted.signal))
      : undefined
  }

  /** Asks yes or no, or for a secret; undefined unless `canAsk`. */
  protected get questions(): PublishQuestions | undefined {
    const { confirm } = this
    const { signal } = this.interrupted
    return confirm == null
      ? undefined
      : { confirm, secret: async (text, check) => this.ask(async () => (await import('./text/prompt.ts')).secret(text, { check, signal })) }
  }

  /** The named peer; without a name, the peer that the user chooses from a list. @throws UsageError if no person can choose */
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

  /** The named peer, as a session accepts it. @param typed false if the name comes from a file @throws UsageError as `namedPeer` */
  protected async peerNamed(text: string, typed = this.canAsk, options = () => this.callOptions): Promise<string> {
    this.#named = text
    return namedPeer(text, this.#naming(typed, options))
  }

  /** The whole ID of a named peer; any other text unchanged. @throws UsageError as `namedPeer` */
  protected async peerIdNamed(text: string): Promise<string> {
    const options = (): SessionOptions => this.callOptions
    return namedPeerId(text, this.#naming(this.canAsk, options))
  }

  /** Undefined if no alias was named, or no session is open. */
  async #rewording(): Promise<((message: string) => string) | undefined> {
    const session = await this.#session?.catch(() => undefined)
    return session == null || this.#named == null ? undefined : aliasInMessages(this.#named, session)
  }

  #naming(typed: boolean, options: () => SessionOptions): NamedPeerInit {
    return { session: async () => this.session(), options, typed, tell: (line) => this.tell(line) }
  }

  /** The named peer and the named protocol. @throws UsageError if no protocol is named */
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
        hint: `"${this.config.bin} protocol list ${peer}" lists the protocols of the peer; ${helpOf(this.config, this.id)}`,
      })
    }
    return { peer, protocolId: given.protocol }
  }

  /** Prints a notice if a node runs in this home, because a change takes effect at its next start. */
  protected async tellOfRestart(): Promise<void> {
    if (this.shell != null || (await holderOf(this.home)) != null) {
      this.logToStderr('the running node does not change: the new value takes effect at its next start')
    }
  }

  /** Prints a line on stderr, if there is one. */
  protected notice(text: string | undefined): void {
    if (text != null) {
      this.logToStderr(text)
    }
  }

  /** Prints a line on stderr, also with --json, for example the age of an answer. */
  protected tell(text: string | undefined): void {
    if (text != null) {
      process.stderr.write(`${wrapped(printable(text), process.stderr.columns)}\n`)
    }
  }

  /** Writes the whole answer before the command continues. A failed write is reported by stdout's error listener. */
  protected async writeStdout(bytes: Uint8Array | string): Promise<void> {
    await new Promise<void>((resolve) => {
      process.stdout.write(bytes, () => resolve())
    })
  }

  /** On a terminal, lines are wrapped between words. */
  override logToStderr(text = ''): void {
    super.logToStderr(wrapped(text, process.stderr.columns))
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${jsonText(json)}\n`)
  }

  protected override async catch(error: Error): Promise<void> {
    const { aborted, reason } = this.interrupted.signal
    if (error instanceof Interrupted) {
      // Ctrl-C in a question is a key, not a signal
      this.#signal ??= error.signal
    }
    if (error instanceof Interrupted || reason instanceof Interrupted) {
      this.tell(this.cancelled?.())
    } else if (!aborted || (error instanceof SubnetError && error === reason)) {
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
      // the command's own error takes precedence over an error of the session's end
      if (error == null) {
        throw closing
      }
    } finally {
      // a command that ends cleanly by a signal handles signals until the process exits
      if (!this.endsCleanlyBySignal) {
        this.#leaveSignals()
      }
    }
  }

  /** The signals that end the command. The command handles them itself. */
  protected get endedBy(): NodeJS.Signals[] {
    return ['SIGINT', 'SIGTERM']
  }

  /** True for a command that normally ends by a signal: it then exits 0. */
  protected get endsCleanlyBySignal(): boolean {
    return false
  }

  async #readSettings(flags: Record<string, unknown>, home: string | undefined): Promise<void> {
    const given = settingsOf(flags)
    if (this.shell == null) {
      this.home = homeAt(home ?? (process.env.SUBNET_HOME || defaultHome(this.config)))
      Object.assign(this, await loadSettings({ flags: given, env: process.env, home: this.home }))
      return
    }
    this.home = this.shell.home
    if (home != null && homeAt(home).path !== this.home.path) {
      throw new UsageError(`--home: this shell belongs to ${this.home.path}`, { hint: 'run the command outside this shell' })
    }
    Object.assign(this, withFlags(this.shell, given))
  }

  async #openSession(): Promise<Session> {
    const { home, settings, sources, logger, needsNode } = this
    let session = this.shell?.session
    if (session == null) {
      const { signal } = this.interrupted
      session = await openSession({ home, settings, agent: this.agent, log: logger, signal, timeoutMs: settings.timeout, needsNode })
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

  /** Exits at once, even if a call hangs. Listeners of `exit` can still end the processes that they started. */
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

/** @throws UsageError for a user without a home directory; oclif would use a folder shared by all users */
function defaultHome({ dataDir, windows }: Config): string {
  if (userFolder() == null && !windows && !process.env.XDG_DATA_HOME) {
    throw new UsageError('this user has no home directory for the home of a node', { hint: HOME_HINT })
  }
  return dataDir
}
