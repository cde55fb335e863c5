import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { addressesOf, farthestFirst } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { type Rate, TokenBuckets } from '../../primitives/token-bucket.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import type { Dialler } from '../dial/dialler.ts'

/** How a relayed connection gets company of a direct one, and what came of that. */
export interface UpgradeOutcome {
  /** `reversal`: the peer that was called dials its caller. */
  way: 'reversal'
  outcome: 'connected' | 'failed'
}

export interface DirectUpgradesInit {
  libp2p: Pick<Libp2p, 'addEventListener' | 'removeEventListener'>
  dialler: Pick<Dialler, 'dial' | 'connectionsTo' | 'isDialable'>
  policy: Pick<DialPolicy, 'refusalOf'>
  /** Whether this node deals with a peer, and may dial it now. */
  admits(peerId: PeerId, signal: AbortSignal): Promise<boolean>
  onUpgrade(outcome: UpgradeOutcome): void
  log: Logger
  now?: (() => number) | undefined
}

/** Upgrades for one peer, and for all. */
const RATES = { peer: { burst: 4, refillMs: 60_000 }, all: { burst: 32, refillMs: 2_000 } } satisfies Record<string, Rate>
const MAX_REMEMBERED = 1_024
/** Upgrades at a time. */
const MAX_RUNNING = 8
/** Addresses of a caller that are dialled. */
const MAX_ADDRESSES = 4
const DIAL_TIMEOUT_MS = 5_000

/**
 * Gets a direct connection to a peer that called this node over a relay: the caller is dialled at its own addresses, as far as the dial policy
 * allows them for a stranger. Nothing happens to the relayed connection, and to the calls on it.
 */
export class DirectUpgrades {
  readonly #init: DirectUpgradesInit
  readonly #tokens: TokenBuckets
  /** Peers that are dialled now. */
  readonly #running = new Set<string>()
  readonly #closing = new AbortController()

  constructor(init: DirectUpgradesInit) {
    this.#init = init
    this.#tokens = new TokenBuckets({ maxKeys: MAX_REMEMBERED, ...(init.now == null ? {} : { now: init.now }) })
  }

  /** To be called before libp2p starts. */
  start(): void {
    this.#init.libp2p.addEventListener('peer:identify', this.#onIdentify)
  }

  /** Ends what is under way. */
  stop(): void {
    this.#init.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    this.#closing.abort(new Error('the node stops'))
  }

  /** A caller has told of itself. */
  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const { connection } = detail
    if (connection.direction === 'inbound' && isRelayed(connection.remoteAddr) && !this.#isDirect(connection.remotePeer)) {
      this.#upgrade(detail).catch((error) => this.#init.log.debug('a caller stays on its relay', error, { peer: connection.remotePeer }))
    }
  }

  async #upgrade({ connection, ...told }: IdentifyResult): Promise<void> {
    const peer = connection.remotePeer.toString()
    const addresses = this.#dialable(connection.remotePeer, [...told.listenAddrs, ...(told.signedPeerRecord?.addresses ?? [])])
    if (addresses.length === 0 || !this.#hasRoom(peer)) {
      return
    }
    this.#running.add(peer)
    try {
      using deadline = new Deadline(DIAL_TIMEOUT_MS, this.#closing.signal)
      if (await this.#init.admits(connection.remotePeer, deadline.signal)) {
        await this.#reverse(connection, addresses, deadline.signal)
      }
    } finally {
      this.#running.delete(peer)
    }
  }

  #hasRoom(peer: string): boolean {
    return (
      !this.#running.has(peer) &&
      this.#running.size < MAX_RUNNING &&
      this.#tokens.take(`peer ${peer}`, RATES.peer) &&
      this.#tokens.take('all', RATES.all)
    )
  }

  async #reverse({ remotePeer: peer, remoteAddr: relay }: Connection, addresses: Multiaddr[], signal: AbortSignal): Promise<void> {
    const { dialler, log, onUpgrade } = this.#init
    try {
      const { remoteAddr: address } = await dialler.dial(addresses, signal, { trusted: false, more: () => false })
      log.debug('a caller over a relay was dialled directly', { peer, address, relay })
      onUpgrade({ way: 'reversal', outcome: 'connected' })
    } catch (error) {
      log.debug('a caller over a relay cannot be dialled directly', error, { peer, relay })
      onUpgrade({ way: 'reversal', outcome: 'failed' })
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
