import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { addressesOf, farthestFirst } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { type Rate, TokenBuckets } from '../../primitives/token-bucket.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import type { Dialler } from '../dial/dialler.ts'
import { HOLE_PUNCH_PROTOCOL_ID } from './hole-punch-stream.ts'
import type { HolePuncher } from './hole-puncher.ts'

/** The outcome of upgrading a relayed connection to a direct one. */
export interface UpgradeOutcome {
  /** `reversal`: the called peer dials the caller. `hole punching`: both dial at the same time. */
  way: 'reversal' | 'hole punching'
  outcome: 'connected' | 'failed'
}

export interface DirectUpgradesInit {
  libp2p: Pick<Libp2p, 'addEventListener' | 'removeEventListener'>
  dialler: Pick<Dialler, 'dial' | 'connectionsTo' | 'isDialable'>
  policy: Pick<DialPolicy, 'refusalOf'>
  puncher: Pick<HolePuncher, 'punch'>
  /** True if this node admits a peer and may dial it now. */
  admits(peerId: PeerId, signal: AbortSignal): Promise<boolean>
  onUpgrade(outcome: UpgradeOutcome): void
  log: Logger
  now?: (() => number) | undefined
}

/** Rate limits of upgrades, per peer and in total. */
const RATES = { peer: { burst: 4, refillMs: 60_000 }, all: { burst: 32, refillMs: 2_000 } } satisfies Record<string, Rate>
const MAX_REMEMBERED = 1_024
/** Maximum concurrent upgrades. */
const MAX_RUNNING = 8
/** Maximum addresses of a caller to dial. */
const MAX_ADDRESSES = 4
const DIAL_TIMEOUT_MS = 5_000

/**
 * Establishes a direct connection to a peer that called over a relay. The caller is dialled at its own addresses, if the dial policy allows
 * them from a stranger. If that fails, both sides punch a hole. The relayed connection and its calls are not affected.
 */
export class DirectUpgrades {
  readonly #init: DirectUpgradesInit
  readonly #tokens: TokenBuckets
  /** Peers with an upgrade in progress, and whether they support hole punching. */
  readonly #running = new Map<string, { punches: boolean }>()
  readonly #closing = new AbortController()

  constructor(init: DirectUpgradesInit) {
    this.#init = init
    this.#tokens = new TokenBuckets({ maxKeys: MAX_REMEMBERED, ...(init.now == null ? {} : { now: init.now }) })
  }

  /** Call before libp2p starts. */
  start(): void {
    this.#init.libp2p.addEventListener('peer:identify', this.#onIdentify)
  }

  /** Aborts upgrades in progress. */
  stop(): void {
    this.#init.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    this.#closing.abort(new Error('the node stops'))
  }

  /** A caller has sent its identify message. */
  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const { connection, protocols } = detail
    const running = this.#running.get(connection.remotePeer.toString())
    if (running != null) {
      // a later identify message may add protocols
      running.punches ||= protocols.includes(HOLE_PUNCH_PROTOCOL_ID)
      return
    }
    if (connection.direction === 'inbound' && isRelayed(connection.remoteAddr) && !this.#isDirect(connection.remotePeer)) {
      this.#upgrade(detail).catch((error) => this.#init.log.debug('a caller stays on its relay', error, { peer: connection.remotePeer }))
    }
  }

  async #upgrade({ connection, ...told }: IdentifyResult): Promise<void> {
    const peer = connection.remotePeer.toString()
    const addresses = this.#dialable(connection.remotePeer, [...told.listenAddrs, ...(told.signedPeerRecord?.addresses ?? [])])
    const running = { punches: told.protocols.includes(HOLE_PUNCH_PROTOCOL_ID) }
    if ((addresses.length === 0 && !running.punches) || !this.#hasRoom(peer)) {
      return
    }
    this.#running.set(peer, running)
    try {
      if (await this.#init.admits(connection.remotePeer, this.#closing.signal)) {
        const isDialled = addresses.length > 0 && (await this.#reverse(connection, addresses))
        if (running.punches && !isDialled && !this.#isDirect(connection.remotePeer)) {
          await this.#punch(connection)
        }
      }
    } finally {
      this.#running.delete(peer)
    }
  }

  #hasRoom(peer: string): boolean {
    return this.#running.size < MAX_RUNNING && this.#tokens.take(`peer ${peer}`, RATES.peer) && this.#tokens.take('all', RATES.all)
  }

  async #reverse({ remotePeer: peer, remoteAddr: relay }: Connection, addresses: Multiaddr[]): Promise<boolean> {
    const { dialler, log, onUpgrade } = this.#init
    using deadline = new Deadline(DIAL_TIMEOUT_MS, this.#closing.signal)
    try {
      const { remoteAddr: address } = await dialler.dial(addresses, deadline.signal, { trusted: false, more: () => false })
      log.debug('a caller over a relay was dialled directly', undefined, { peer, address, relay })
      onUpgrade({ way: 'reversal', outcome: 'connected' })
      return true
    } catch (error) {
      log.debug('a caller over a relay cannot be dialled directly', error, { peer, relay })
      onUpgrade({ way: 'reversal', outcome: 'failed' })
      return false
    }
  }

  async #punch(connection: Connection): Promise<void> {
    const { puncher, log, onUpgrade } = this.#init
    const { remotePeer: peer, remoteAddr: relay } = connection
    try {
      const { remoteAddr: address } = await puncher.punch(connection)
      log.debug('a hole was punched to a caller over a relay', undefined, { peer, address, relay })
      onUpgrade({ way: 'hole punching', outcome: 'connected' })
    } catch (error) {
      log.debug('a caller stays on its relay', error, { peer, relay })
      onUpgrade({ way: 'hole punching', outcome: 'failed' })
    }
  }

  #dialable(peerId: PeerId, named: Multiaddr[]): Multiaddr[] {
    const { dialler, policy } = this.#init
    const direct = named.filter((address) => !isRelayed(address) && dialler.isDialable(address))
    const allowed = addressesOf(peerId, direct, Number.POSITIVE_INFINITY).filter((address) => policy.refusalOf(address, 'stranger') == null)
    return farthestFirst(allowed).slice(0, MAX_ADDRESSES)
  }

  #isDirect(peerId: PeerId): boolean {
    return this.#init.dialler.connectionsTo(peerId).some(({ remoteAddr }) => !isRelayed(remoteAddr))
  }
}
