import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { IdentifyResult, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { backoffMs } from '../../primitives/backoff.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import type { RefusedPeers } from '../admission/refused-peers.ts'
import { NOT_ADMITTED_HINT } from './dial-failure.ts'
import { type Permit, TRUSTED } from './dial-permit.ts'
import { Meeting, type MeetingInit, until, type Whereabouts } from './meeting.ts'

/** Retry delays for an unreachable bootstrap, and for all other peers. Bootstraps are retried more often. */
const RETRY = { firstMs: 1_000, maxMs: 60_000 }
const RETRY_COMPANY = { firstMs: 1_000, maxMs: 120_000 }
/** Maximum random reduction of a delay. It spreads the retries of a subnet's peers, which all lose a bootstrap at the same moment. */
const JITTER = 0.5
/** Limits of one round: address book peers, and as many bootnodes; addresses per peer; additional IP addresses of all names together. */
const MAX_ACQUAINTANCES = 8
const MAX_ADDRESSES = 2
const MAX_NAMES = 4

export interface BootstrapInit extends MeetingInit {
  targets: Array<{ peerId: PeerId; multiaddr: Multiaddr }>
  /** Returns up to `count` random peers of the last 24 hours. Called only while no peer is connected. */
  acquaintances(count: number): Whereabouts[]
  /**
   * Returns up to `count` bootnodes of the chain, or none if the user named bootstraps. Called only while no peer is connected. Never
   * rejects.
   */
  bootnodes(count: number, signal: AbortSignal): Promise<Whereabouts[]>
  /** Why this node refuses a peer. Undefined if it does not. Records the result in `refused`. */
  ownRefusalOf(peerId: PeerId, signal: AbortSignal): Promise<string | undefined>
  /** Delays the next dial to a bootstrap after a refusal by either side. */
  refused: Pick<RefusedPeers, 'mayDial' | 'untilDial'>
  /** True for a node that serves. A client-only node connects to other peers only on demand: a command with an address needs none. */
  serves: boolean
  log: Logger
}

/** Why a bootstrap refuses this node, with a hint. */
export interface BootstrapRefusal {
  message: string
  hint: string
}

/**
 * Keeps a connection to every bootstrap. Each one is retried independently and forever, so an unreachable bootstrap blocks nothing. While
 * no peer is connected and no bootstrap is reachable, peers of the address book are dialled instead, so a subnet outlives its bootstraps.
 * Bootnodes of the chain are dialled too if the user named no bootstrap.
 */
export class Bootstrap extends EventTarget {
  readonly #init: BootstrapInit
  readonly #meeting: Meeting
  #stopped = new AbortController()
  /** Aborts the current attempts and delays, so that all start again. */
  #round = new AbortController()
  #running: Array<Promise<void>> = []
  #pending = 0
  #aliveUntilMs = 0
  /** Resolved once a connection to any peer is needed. */
  readonly #wanted = Promise.withResolvers<void>()
  readonly #refusals = new Map<string, BootstrapRefusal>()

  constructor(init: BootstrapInit) {
    super()
    // every resolution that waits for a first connection adds a listener
    setMaxListeners(0, this)
    this.#init = init
    this.#meeting = new Meeting(init, (ms) => this.#alive(ms))
  }

  /** True until every bootstrap's first attempt has failed or has led to a usable peer. */
  get pending(): boolean {
    return this.#pending > 0
  }

  /** The bootstraps that refused this node on their latest attempt. */
  get refusals(): BootstrapRefusal[] {
    return [...this.#refusals.values()]
  }

  /**
   * Calls the listener whenever a bootstrap shows signs of life during its first attempt, with the time limit of its next step in
   * milliseconds. Reports an earlier sign at once.
   * @returns a function that removes the listener
   */
  onAlive(listener: (ms: number) => void): () => void {
    this.#wanted.resolve()
    const onEvent = (): void => listener(this.#aliveUntilMs - performance.now())
    this.addEventListener('alive', onEvent)
    if (this.pending) {
      onEvent()
    }
    return () => this.removeEventListener('alive', onEvent)
  }

  /** Resolves when a peer is connected, all bootstraps were tried once, or the signal aborts. */
  async settled(signal: AbortSignal): Promise<void> {
    this.#wanted.resolve()
    await this.#tried(0, signal)
  }

  /** Like `settled`, but ignores `but` pending attempts. */
  async #tried(but: number, signal: AbortSignal): Promise<void> {
    while (this.#pending > but && this.#isAlone && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.addEventListener('settled', () => resolve(), { once: true, signal })
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** Like `settled`, for up to `ms` milliseconds. A bootstrap that shows signs of life prolongs the wait. */
  async settledWithin(ms: number, signal?: AbortSignal): Promise<void> {
    using deadline = new Deadline(ms, signal)
    const unwatch = this.onAlive((nextStepMs) => deadline.prolong(nextStepMs))
    try {
      await this.settled(deadline.signal)
    } finally {
      unwatch()
    }
  }

  start(): void {
    if (this.#running.length > 0) {
      return
    }
    this.#stopped = new AbortController()
    const { targets, libp2p, serves } = this.#init
    const { signal } = this.#stopped
    if (serves) {
      this.#wanted.resolve()
    }
    // the last attempt covers the address book and the bootnodes
    this.#pending = targets.length + 1
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    this.#running = [...targets.map(async (target) => this.#keep(target, signal)), this.#keepCompany(signal)]
  }

  /** Call when the network of this machine changed. Retries bootstraps and known peers at once. Delays after a refusal still apply. */
  retryNow(): void {
    this.#round.abort(new Error('the network changed'))
    this.#round = new AbortController()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    this.#init.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    await Promise.all(this.#running)
    this.#running = []
  }

  /** Returns a function that ends a first attempt. Only its first call counts. */
  #settler(): () => void {
    let first = true
    return () => {
      if (first) {
        first = false
        this.#pending--
        this.dispatchEvent(new Event('settled'))
      }
    }
  }

  /** Dials peers of the address book and bootnodes while no peer is connected and every bootstrap was tried. */
  async #keepCompany(signal: AbortSignal): Promise<void> {
    const { libp2p, log } = this.#init
    const settle = this.#settler()
    await this.#tried(1, signal)
    await raceSignal(this.#wanted.promise, signal).catch(() => undefined)
    for (let failures = 0; !signal.aborted; ) {
      const round = this.#round.signal
      if (!this.#isAlone) {
        settle()
        failures = 0
        await until(libp2p, 'peer:disconnect', () => true, signal)
      } else if (await this.#meetSome(signal)) {
        log.info('no bootstrap is connected: using a peer of the address book or a bootnode of the chain instead')
        continue
      }
      settle()
      const pauseMs = backoffMs(failures, RETRY_COMPANY, JITTER)
      await delay(pauseMs, undefined, { signal: AbortSignal.any([signal, round]) }).catch(() => undefined)
      failures = round.aborted ? 0 : failures + 1
    }
    settle()
  }

  get #isAlone(): boolean {
    return this.#init.libp2p.getPeers().length === 0
  }

  /** Dials some known peers and bootnodes. True once one of them admits this node. */
  async #meetSome(signal: AbortSignal): Promise<boolean> {
    const { acquaintances, bootnodes, log } = this.#init
    let names = MAX_NAMES
    const permit: Permit = { trusted: false, more: () => names-- > 0 }
    const tries = [
      this.#meetAnyOf(acquaintances(MAX_ACQUAINTANCES), permit, signal),
      bootnodes(MAX_ACQUAINTANCES, signal).then(async (named) => this.#meetAnyOf(named, permit, signal)),
    ]
    return Promise.any(tries).then(
      () => true,
      (error) => {
        log.debug('neither a peer of the address book nor a bootnode of the chain was reached', error)
        return false
      },
    )
  }

  /** @throws AggregateError if none of the peers admits this node */
  async #meetAnyOf(peers: Whereabouts[], permit: Permit, signal: AbortSignal): Promise<void> {
    const { ownRefusalOf, refused } = this.#init
    const tried = peers.filter(({ peerId, multiaddrs }) => multiaddrs.length > 0 && refused.mayDial(peerId))
    const tries = tried.map(async ({ peerId, multiaddrs }) => {
      const own = await ownRefusalOf(peerId, signal)
      const refusal = own ?? (await this.#meeting.meet({ peerId, multiaddrs: multiaddrs.slice(0, MAX_ADDRESSES) }, permit, signal))
      if (refusal != null) {
        throw new Error(refusal)
      }
    })
    await Promise.any(tries)
  }

  async #keep(target: BootstrapInit['targets'][number], signal: AbortSignal): Promise<void> {
    const settle = this.#settler()
    while (!signal.aborted) {
      const round = this.#round.signal
      try {
        await this.#connect(target, AbortSignal.any([signal, round]), settle)
        settle()
        await this.#disconnected(target.peerId, signal)
        // avoids hammering a peer that accepts connections only to drop them
        await delay(backoffMs(0, RETRY, JITTER), undefined, { signal })
      } catch (error) {
        if (!signal.aborted && !round.aborted) {
          this.#init.log.warn(`bootstrap ${target.multiaddr.toString()}`, error)
        }
      }
    }
    settle()
  }

  async #connect({ peerId, multiaddr }: BootstrapInit['targets'][number], signal: AbortSignal, settle: () => void): Promise<void> {
    const { refused, log } = this.#init
    for (let failures = 0, isLetIn = false; !isLetIn; ) {
      if (!refused.mayDial(peerId)) {
        settle()
      }
      await refused.untilDial(peerId, signal)
      try {
        isLetIn = await this.#tryOnce({ peerId, multiaddr }, signal)
      } catch (error) {
        signal.throwIfAborted()
        settle()
        log[failures === 0 ? 'warn' : 'debug'](`bootstrap not reached (attempt ${failures + 1}): ${describeError(error)}`)
        await delay(backoffMs(failures++, RETRY, JITTER), undefined, { signal })
      }
    }
  }

  /** True once the bootstrap admits this node, false if either side refuses the other. @throws DialError */
  async #tryOnce({ peerId, multiaddr }: BootstrapInit['targets'][number], signal: AbortSignal): Promise<boolean> {
    // this node would only refuse it
    if ((await this.#init.ownRefusalOf(peerId, signal)) != null) {
      return false
    }
    const peer = peerId.toString()
    try {
      const refusal = await this.#meeting.meet({ peerId, multiaddrs: [multiaddr] }, TRUSTED, signal)
      if (refusal != null) {
        this.#refusals.set(peer, { message: `bootstrap ${peer}: ${refusal}`, hint: NOT_ADMITTED_HINT })
        return false
      }
    } catch (error) {
      this.#refusals.delete(peer)
      throw error
    }
    this.#refusals.delete(peer)
    return true
  }

  #alive(nextStepMs: number): void {
    this.#aliveUntilMs = Math.max(this.#aliveUntilMs, performance.now() + nextStepMs)
    this.dispatchEvent(new Event('alive'))
  }

  /** Clears a refusal, because a peer that answers identify admits this node. The peer may have dialled this node itself. */
  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    this.#refusals.delete(detail.peerId.toString())
  }

  async #disconnected(peerId: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#init.dialler.connectionsTo(peerId).length > 0) {
      await until(this.#init.libp2p, 'peer:disconnect', (event) => event.detail.equals(peerId), signal)
    }
  }
}
