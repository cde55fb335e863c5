import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ChainOptions, ChainRecord, ChainRegistry, NodeClass } from '../chain/registry.ts'
import { type Aliases, targetOf } from '../node/aliases.ts'
import { NodeError } from '../node/errors.ts'
import { parseMultiaddr } from '../primitives/address.ts'
import { withDeadline } from '../primitives/deadline.ts'
import { describeError } from '../primitives/errors.ts'
import { ResolveError } from '../resolve/errors.ts'
import type { ChainAnswer, ChainSession, RegistrationAnswer, SessionOptions } from './session.ts'

export interface ChainCallsInit {
  registry(): ChainRegistry | Promise<ChainRegistry>
  aliases(): Aliases | Promise<Aliases>
  self(): PeerId | Promise<PeerId>
  /** Where this peer's node listens; empty where none runs. */
  ownAddresses(): Multiaddr[]
}

/** The calls of a session that only need the chain, in this process. */
export class ChainCalls implements ChainSession {
  readonly #init: ChainCallsInit

  constructor(init: ChainCallsInit) {
    this.#init = init
  }

  async lookup(peer: string, options: SessionOptions = {}): Promise<ChainAnswer> {
    const { peerId } = await targetOf(peer, this.#init.aliases)
    const registry = await this.#init.registry()
    const record = await registry.lookup(peerId, chainOptions(options))
    if (record == null) {
      const registration = await describeRegistration(registry, peerId, chainOptions(options))
      throw new ResolveError('PEER_NOT_FOUND', `the chain has no address of ${peerId.toString()}, ${registration}`, [], {
        hint: 'a peer puts its addresses there with "subnet chain publish" or "subnet start --publish"',
      })
    }
    return toAnswer(record)
  }

  async list(options: SessionOptions = {}): Promise<ChainAnswer[]> {
    return (await (await this.#init.registry()).list(chainOptions(options))).map(toAnswer)
  }

  async publish(multiaddrs: string[], options: SessionOptions = {}): Promise<ChainAnswer> {
    const addresses = multiaddrs.length > 0 ? multiaddrs.map(parseMultiaddr) : this.#init.ownAddresses()
    if (addresses.length === 0) {
      throw nothingToPublish()
    }
    return toAnswer(await (await this.#init.registry()).publish(addresses, chainOptions(options)))
  }

  async remove(options: SessionOptions = {}): Promise<{ peerId: string; removed: boolean }> {
    const removed = await (await this.#init.registry()).remove(chainOptions(options))
    return { peerId: (await this.#init.self()).toString(), removed }
  }

  async register(nodeClass: NodeClass, options: SessionOptions = {}): Promise<RegistrationAnswer> {
    const registration = await (await this.#init.registry()).register(nodeClass, chainOptions(options))
    const { peerId, registered, block } = registration
    return { peerId: peerId.toString(), registered, class: nodeClass, block }
  }

  async unregister(options: SessionOptions = {}): Promise<{ peerId: string; removed: boolean }> {
    const removed = await (await this.#init.registry()).unregister(chainOptions(options))
    return { peerId: (await this.#init.self()).toString(), removed }
  }
}

/** No addresses were named, and no node runs that has some. */
export function nothingToPublish(): NodeError {
  return new NodeError('NOT_RUNNING', 'there is no running node whose addresses could be published', {
    hint: 'name them: subnet chain publish MULTIADDR…, or let the node do it: subnet start --publish',
  })
}

function chainOptions({ signal, timeoutMs }: SessionOptions): { signal: AbortSignal | undefined } {
  return { signal: withDeadline(signal, timeoutMs) }
}

/** As it is printed. */
export function toAnswer({ peerId, multiaddrs, verified, block, stale }: ChainRecord): ChainAnswer {
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), verified, block, stale }
}

/** What to say of a peer without an address: a node of the template is let in where it is registered, with an address or without. */
async function describeRegistration(registry: ChainRegistry, peerId: PeerId, options: ChainOptions): Promise<string> {
  try {
    const { registered } = await registry.isRegistered(peerId, 'registered', options)
    return registered ? 'but the peer is registered in the subnet' : 'and the peer is not registered in the subnet'
  } catch (error) {
    options.signal?.throwIfAborted()
    return `and whether the peer is registered could not be read: ${describeError(error)}`
  }
}
