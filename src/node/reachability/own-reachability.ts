import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { AddressManager, TransportManager } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { guardedHandler } from '../adapters/guarded-components.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { DialBackServer, type DialBackServerInit } from './dial-back-server.ts'
import { DialRequests, type ProtocolRegistrar } from './dial-requests.ts'
import { OwnCandidates } from './own-candidates.ts'
import { Prober } from './prober.ts'
import type { Reachability } from './reachability.ts'

export interface OwnReachabilityInit extends Pick<DialBackServerInit, 'dial' | 'isOfSubnet'> {
  libp2p: Libp2p
  addressManager: Pick<AddressManager, 'confirmObservedAddr' | 'removeObservedAddr'>
  transportManager: Pick<TransportManager, 'getAddrs'>
  /** Addresses mapped by a router, without `/p2p`. */
  mapped(): Multiaddr[]
  policy: DialPolicy
  /** False for a peer that the door refuses. */
  admits(peerId: PeerId): boolean
  log: Logger
}

/** Tests which of the node's addresses outside peers can reach, and helps peers of the subnet to test theirs. */
export class OwnReachability {
  readonly #prober: Prober
  readonly #server: DialBackServer
  #started: Promise<void> | undefined

  constructor({ libp2p, addressManager, transportManager, mapped, policy, admits, dial, isOfSubnet, log }: OwnReachabilityInit) {
    const isOutside = (connection: Connection): boolean =>
      !isRelayed(connection.remoteAddr) && policy.namedOver([connection]) === 'stranger'
    const registrar: ProtocolRegistrar = {
      handle: async (protocol, handler, options) => libp2p.handle(protocol, handler, options),
    }
    const candidates = new OwnCandidates({
      announced: () => libp2p.getMultiaddrs(),
      listening: () => transportManager.getAddrs(),
      mapped,
      isOutside,
    })
    const announce = (address: Multiaddr, isPublic: boolean): void => {
      if (!transportManager.getAddrs().some((each) => each.equals(address))) {
        isPublic ? addressManager.confirmObservedAddr(address, { type: 'observed' }) : addressManager.removeObservedAddr(address)
      }
    }
    this.#prober = new Prober({ libp2p, candidates, requests: new DialRequests(registrar), isOutside, announce, log })
    this.#server = new DialBackServer({
      registrar: {
        handle: async (protocol, handler, options) => registrar.handle(protocol, guardedHandler(handler, admits), options),
      },
      policy,
      dial,
      isOfSubnet,
    })
  }

  get own(): Reachability {
    return this.#prober
  }

  /** Call before libp2p starts. Idempotent. */
  async start(): Promise<void> {
    this.#started ??= Promise.all([this.#prober.start(), this.#server.start()]).then(() => undefined)
    return this.#started
  }

  /** Call when the router's mappings have changed. @param gone addresses that no longer lead to this node */
  mappedChanged(gone: Multiaddr[]): void {
    this.#prober.candidatesChanged(gone)
  }

  /** Stops both parts. Their protocols are removed together with the stack. */
  async stop(): Promise<void> {
    await this.#prober.stop()
    this.#server.stop()
  }
}
