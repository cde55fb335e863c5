import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import { type Budget, budgetOf } from '../../primitives/budget.ts'
import { DialError } from './dial-failure.ts'
import type { Permit } from './dial-permit.ts'
import { type Dialler, MAX_DIAL_MS } from './dialler.ts'

/** Time limit for the identify message of a connected bootstrap, scaled by the connect time. */
const IDENTIFY: Budget = { times: 50, minMs: 2_000, maxMs: 15_000 }

/** A peer and its possible addresses. */
export interface Whereabouts {
  peerId: PeerId
  multiaddrs: Multiaddr[]
}

export interface MeetingInit {
  libp2p: Libp2p
  dialler: Dialler
  /** Why the remote peer refuses this node. Undefined if it does not. Records the result in `refused`. */
  refusalOf(connection: Connection): Promise<string | undefined>
}

/** Connects to a peer and waits for its identify message. */
export class Meeting {
  readonly #init: MeetingInit
  readonly #onAlive: (nextStepMs: number) => void

  /** @param onAlive called on each sign of life of the peer, with the time limit of its next step in milliseconds */
  constructor(init: MeetingInit, onAlive: (nextStepMs: number) => void) {
    this.#init = init
    this.#onAlive = onAlive
  }

  /** Undefined once the peer has sent its identify message. Otherwise the peer's reason for refusing this node. @throws DialError */
  async meet({ peerId, multiaddrs }: Whereabouts, permit: Permit, signal: AbortSignal): Promise<string | undefined> {
    const { dialler, refusalOf } = this.#init
    const [open] = dialler.connectionsTo(peerId)
    const enough = new AbortController()
    const identified = open == null ? this.#identified(peerId, AbortSignal.any([signal, enough.signal])) : undefined
    let timer: NodeJS.Timeout | undefined
    try {
      const { connection, connectMs } = open == null ? await this.#dial(multiaddrs, permit, signal) : { connection: open, connectMs: 0 }
      const identifyMs = budgetOf(connectMs, IDENTIFY)
      this.#onAlive(identifyMs)
      timer = setTimeout(() => enough.abort(), identifyMs)
      // a peer that refuses keeps the connection open for a moment to send the reason
      const reason = await refusalOf(connection)
      if (reason != null) {
        return `does not let this node in: ${reason}`
      }
      await identified
      return undefined
    } catch (error) {
      if (error instanceof DialError && error.verdict != null) {
        return error.message
      }
      throw error
    } finally {
      clearTimeout(timer)
      enough.abort()
    }
  }

  async #dial(multiaddrs: Multiaddr[], permit: Permit, signal: AbortSignal): Promise<{ connection: Connection; connectMs: number }> {
    let connectMs = 0
    const onConnected = (ms: number): void => {
      connectMs = ms
      this.#onAlive(MAX_DIAL_MS)
    }
    const connection = await this.#init.dialler.dial(multiaddrs, signal, { ...permit, onConnected })
    return { connection, connectMs }
  }

  async #identified(peerId: PeerId, signal: AbortSignal): Promise<void> {
    await until(this.#init.libp2p, 'peer:identify', (event) => event.detail.peerId.equals(peerId), signal)
  }
}

type Events = Parameters<Libp2p['addEventListener']>

/** Waits for a matching event. Also resolves when the signal aborts. */
export async function until(
  libp2p: Pick<Libp2p, 'addEventListener' | 'removeEventListener'>,
  type: Events[0],
  matches: (event: CustomEvent) => boolean,
  signal: AbortSignal,
): Promise<void> {
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
    // stopping or too late: the caller checks the signal
  } finally {
    libp2p.removeEventListener(type, listener as Events[1])
  }
}
