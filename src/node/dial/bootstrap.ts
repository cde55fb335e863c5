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

/** The pause after a bootstrap was not reached, and the one after nobody else was: the bootstraps are asked more often. */
const RETRY = { firstMs: 1_000, maxMs: 60_000 }
const RETRY_COMPANY = { firstMs: 1_000, maxMs: 120_000 }
/** A random part of each pause, at most this, is left out: the peers of a subnet lose a bootstrap at the same moment. */
const JITTER = 0.5
/** Peers of the address book that are dialled at once, and as many bootnodes, the addresses of each, and further IP addresses of all their names. */
const MAX_ACQUAINTANCES = 8
const MAX_ADDRESSES = 2
const MAX_NAMES = 4

export interface BootstrapInit extends MeetingInit {
  targets: Array<{ peerId: PeerId; multiaddr: Multiaddr }>
  /** So many peers that this node knew in the last 24 hours, others each time. Asked only while no peer is connected. */
  acquaintances(count: number): Whereabouts[]
  /** So many peers that the chain names to start from; none where the user named bootstraps. Asked at the same times. Never rejects. */
  bootnodes(count: number, signal: AbortSignal): Promise<Whereabouts[]>
  /** Why this node does not let a peer in; undefined where it does. What it finds is noted in `refused`. */
  ownRefusalOf(peerId: PeerId, signal: AbortSignal): Promise<string | undefined>
  /** Says when a bootstrap that refuses this node, or is refused, may be dialled again. */
  refused: Pick<RefusedPeers, 'mayDial' | 'untilDial'>
  /** A node that only asks looks for company when somebody waits for a peer: a command that is given an address needs none. */
  serves: boolean
  log: Logger
}

/** Why a bootstrap does not let this node in, and what to do about it. */
export interface BootstrapRefusal {
  message: string
  hint: string
}

/**
 * Keeps a connection to every bootstrap peer: each on its own, tried for ever, so that a dead one hinders nothing. Where all are away, and no peer is
 * connected, peers that this node knew are dialled in their place: a subnet outlives its bootstraps. So are the bootnodes of the chain where the user named no
 * bootstrap.
 */
export class Bootstrap extends EventTarget {
  readonly #init: BootstrapInit
  readonly #meeting: Meeting
  #stopped = new AbortController()
  /** Ends attempts, and the delays between them, so that all begin anew. */
  #round = new AbortController()
  #running: Array<Promise<void>> = []
  #pending = 0
  #aliveUntilMs = 0
  /** Resolved once the company of any peer is of use. */
  readonly #wanted = Promise.withResolvers<void>()
  readonly #refusals = new Map<string, BootstrapRefusal>()

  constructor(init: BootstrapInit) {
    super()
    // every resolution that waits for a first connection listens
    setMaxListeners(0, this)
    this.#init = init
    this.#meeting = new Meeting(init, (ms) => this.#alive(ms))
  }

  /** True while a bootstrap's first attempt has neither failed nor led to a peer that can be asked. */
  get pending(): boolean {
    return this.#pending > 0
  }

  /** The bootstraps that refused this node the last time they were tried. */
  get refusals(): BootstrapRefusal[] {
    return [...this.#refusals.values()]
  }

  /**
   * Tells when a bootstrap that is tried for the first time shows that it is there, now or later, with the milliseconds that its next step may take.
   * @returns what ends the telling
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

  /** Waits until there is a peer to ask, or all bootstraps were tried once, or the signal aborts. */
  async settled(signal: AbortSignal): Promise<void> {
    this.#wanted.resolve()
    await this.#tried(0, signal)
  }

  /** The same, but for so many that were not tried. */
  async #tried(but: number, signal: AbortSignal): Promise<void> {
    while (this.#pending > but && this.#isAlone && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.addEventListener('settled', () => resolve(), { once: true, signal })
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** The same, for so many milliseconds; longer only for a bootstrap that shows that it is there. */
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
    // the last one are the acquaintances and the bootnodes
    this.#pending = targets.length + 1
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    this.#running = [...targets.map(async (target) => this.#keep(target, signal)), this.#keepCompany(signal)]
  }

  /** The network of this machine changed: bootstraps, and peers that this node knew, are tried at once. One that refuses this node is left in peace as before. */
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

  /** Ends the first attempt of one of those that are tried, when it is called first. */
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

  /** While no peer is connected, and every bootstrap was tried, dials peers that this node knew or that the chain names. */
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
        log.info('no bootstrap is connected; connected to a peer of the address book, or to a bootnode of the chain')
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

  /** True once one of some peers that this node knew, or that the chain names, lets it in. */
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
        log.debug('no peer of the address book was reached, and no bootnode of the chain', error)
        return false
      },
    )
  }

  /** @throws AggregateError where none of them lets this node in */
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
        // a peer that takes connections only to drop them is not hammered
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

  /** True once the bootstrap lets this node in, false where one of the two refuses the other. @throws DialError */
  async #tryOnce({ peerId, multiaddr }: BootstrapInit['targets'][number], signal: AbortSignal): Promise<boolean> {
    // this node would only turn it away
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

  /** A peer that answers identify lets this node in. It may have dialled this node itself. */
  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    this.#refusals.delete(detail.peerId.toString())
  }

  async #disconnected(peerId: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#init.dialler.connectionsTo(peerId).length > 0) {
      await until(this.#init.libp2p, 'peer:disconnect', (event) => event.detail.equals(peerId), signal)
    }
  }
}
