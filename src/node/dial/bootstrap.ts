import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import pRetry from 'p-retry'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../primitives/log.ts'
import { type Budget, budgetOf, Patience } from '../../primitives/patience.ts'
import type { RefusedPeers } from '../admission/refused-peers.ts'
import { DialError, NOT_ADMITTED_HINT } from './dial-failure.ts'
import { TRUSTED } from './dial-permit.ts'
import { type Dialler, MAX_DIAL_MS } from './dialler.ts'

/** How long a bootstrap that is connected may take to say which protocols it speaks, by how long the connecting took. */
const IDENTIFY: Budget = { times: 50, minMs: 2_000, maxMs: 15_000 }
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 60_000

export interface BootstrapInit {
  libp2p: Libp2p
  dialler: Dialler
  targets: Array<{ peerId: PeerId; multiaddr: Multiaddr }>
  /** Why this node does not let a peer in; undefined where it does. What it finds is noted in `refused`. */
  ownRefusalOf(peerId: PeerId, signal: AbortSignal): Promise<string | undefined>
  /** Why the other side does not let this node in; the same. */
  refusalOf(connection: Connection): Promise<string | undefined>
  /** Says when a bootstrap that refuses this node, or is refused, may be dialled again. */
  refused: Pick<RefusedPeers, 'mayDial' | 'untilDial'>
  log: Logger
}

/** Why a bootstrap does not let this node in, and what to do about it. */
export interface BootstrapRefusal {
  message: string
  hint: string
}

/** Keeps a connection to every bootstrap peer: each on its own, tried for ever, so that a dead one hinders nothing. */
export class Bootstrap extends EventTarget {
  readonly #init: BootstrapInit
  #stopped = new AbortController()
  #running: Array<Promise<void>> = []
  #pending = 0
  #aliveUntilMs = 0
  readonly #refusals = new Map<string, BootstrapRefusal>()

  constructor(init: BootstrapInit) {
    super()
    // every resolution that waits for a first connection listens
    setMaxListeners(0, this)
    this.#init = init
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
    const onEvent = (): void => listener(this.#aliveUntilMs - performance.now())
    this.addEventListener('alive', onEvent)
    if (this.pending) {
      onEvent()
    }
    return () => this.removeEventListener('alive', onEvent)
  }

  /** Waits until there is a peer to ask, or all bootstraps were tried once, or the signal aborts. */
  async settled(signal: AbortSignal): Promise<void> {
    while (this.pending && this.#init.libp2p.getPeers().length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.addEventListener('settled', () => resolve(), { once: true, signal })
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** The same, for so many milliseconds; longer only for a bootstrap that shows that it is there. */
  async settledWithin(ms: number, signal?: AbortSignal): Promise<void> {
    const patience = new Patience(ms)
    const unwatch = this.onAlive((nextStepMs) => patience.prolong(nextStepMs))
    try {
      await this.settled(signal == null ? patience.signal : AbortSignal.any([signal, patience.signal]))
    } finally {
      unwatch()
      patience.clear()
    }
  }

  start(): void {
    if (this.#running.length > 0) {
      return
    }
    this.#stopped = new AbortController()
    this.#pending = this.#init.targets.length
    this.#init.libp2p.addEventListener('peer:identify', this.#onIdentify)
    this.#running = this.#init.targets.map(async (target) => this.#keep(target, this.#stopped.signal))
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    this.#init.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    await Promise.all(this.#running)
    this.#running = []
  }

  async #keep(target: BootstrapInit['targets'][number], signal: AbortSignal): Promise<void> {
    let first = true
    const settle = (): void => {
      if (first) {
        first = false
        this.#pending--
        this.dispatchEvent(new Event('settled'))
      }
    }
    while (!signal.aborted) {
      try {
        await this.#connect(target, signal, settle)
        settle()
        await this.#disconnected(target.peerId, signal)
        // a peer that takes connections only to drop them is not hammered
        await delay(FIRST_RETRY_MS * (1 + Math.random()), undefined, { signal })
      } catch (error) {
        if (!signal.aborted) {
          this.#init.log.warn(`bootstrap ${target.multiaddr.toString()}`, error)
        }
      }
    }
    settle()
  }

  async #connect(target: BootstrapInit['targets'][number], signal: AbortSignal, settle: () => void): Promise<void> {
    const { refused, log } = this.#init
    await pRetry(
      async () => {
        for (let isLetIn = false; !isLetIn; ) {
          if (!refused.mayDial(target.peerId)) {
            settle()
          }
          await refused.untilDial(target.peerId, signal)
          isLetIn = await this.#tryOnce(target, signal)
        }
      },
      {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: FIRST_RETRY_MS,
        maxTimeout: MAX_RETRY_MS,
        randomize: true,
        signal,
        onFailedAttempt: ({ error, attemptNumber }) => {
          settle()
          log[attemptNumber === 1 ? 'warn' : 'debug'](`bootstrap not reached (attempt ${attemptNumber}): ${error.message}`)
        },
      },
    )
  }

  /** True once the bootstrap lets this node in, false where one of the two refuses the other. @throws DialError */
  async #tryOnce({ peerId, multiaddr }: BootstrapInit['targets'][number], signal: AbortSignal): Promise<boolean> {
    const { dialler, ownRefusalOf, refusalOf } = this.#init
    // this node would only turn it away
    if ((await ownRefusalOf(peerId, signal)) != null) {
      return false
    }
    const [open] = dialler.connectionsTo(peerId)
    const enough = new AbortController()
    const identified = open == null ? this.#identified(peerId, AbortSignal.any([signal, enough.signal])) : undefined
    let timer: NodeJS.Timeout | undefined
    try {
      const { connection, connectMs } = open == null ? await this.#dial(multiaddr, signal) : { connection: open, connectMs: 0 }
      const identifyMs = budgetOf(connectMs, IDENTIFY)
      this.#alive(identifyMs)
      timer = setTimeout(() => enough.abort(), identifyMs)
      // a bootstrap that refuses keeps the connection open for a moment, to tell the reason
      const reason = await refusalOf(connection)
      if (reason != null) {
        return this.#refusedBy(peerId, `does not let this peer in: ${reason}`)
      }
      await identified
    } catch (error) {
      if (error instanceof DialError && error.verdict != null) {
        return this.#refusedBy(peerId, error.message)
      }
      this.#refusals.delete(peerId.toString())
      throw error
    } finally {
      clearTimeout(timer)
      enough.abort()
    }
    this.#refusals.delete(peerId.toString())
    return true
  }

  async #dial(multiaddr: Multiaddr, signal: AbortSignal): Promise<{ connection: Connection; connectMs: number }> {
    let connectMs = 0
    const onConnected = (ms: number): void => {
      connectMs = ms
      this.#alive(MAX_DIAL_MS)
    }
    const connection = await this.#init.dialler.dial([multiaddr], signal, { ...TRUSTED, onConnected })
    return { connection, connectMs }
  }

  #alive(nextStepMs: number): void {
    this.#aliveUntilMs = Math.max(this.#aliveUntilMs, performance.now() + nextStepMs)
    this.dispatchEvent(new Event('alive'))
  }

  #refusedBy(peerId: PeerId, message: string): false {
    this.#refusals.set(peerId.toString(), { message: `bootstrap ${peerId.toString()}: ${message}`, hint: NOT_ADMITTED_HINT })
    return false
  }

  /** A peer that answers identify lets this node in. It may have dialled this node itself. */
  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    this.#refusals.delete(detail.peerId.toString())
  }

  async #identified(peerId: PeerId, signal: AbortSignal): Promise<void> {
    await until(this.#init.libp2p, 'peer:identify', (event) => event.detail.peerId.equals(peerId), signal)
  }

  async #disconnected(peerId: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#init.dialler.connectionsTo(peerId).length > 0) {
      await until(this.#init.libp2p, 'peer:disconnect', (event) => event.detail.equals(peerId), signal)
    }
  }
}

type Events = Parameters<Libp2p['addEventListener']>

async function until(libp2p: Libp2p, type: Events[0], matches: (event: CustomEvent) => boolean, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const listener = (event: CustomEvent): void => {
    if (matches(event)) {
      resolve()
    }
  }
  libp2p.addEventListener(type, listener as Events[1])
  try {
    await raceSignal(promise, signal)
  } catch {
    // stopping, or late: whoever waits looks at the signal next
  } finally {
    libp2p.removeEventListener(type, listener as Events[1])
  }
}
