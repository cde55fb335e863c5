import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ChainOptions, ChainRecord, ChainRegistry, Freshness, NodeClass, PublishedRecord } from '../chain/registry.ts'
import { type Aliases, targetOf } from '../node/home/aliases.ts'
import type { Settings } from '../node/home/config.ts'
import { NodeError } from '../node/home/errors.ts'
import { parseMultiaddr } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import { UsageError } from '../primitives/errors.ts'
import type { ChainAnswer, ChainListAnswer, ChainPeerAnswer, FreshnessAnswer, PublishedAnswer, RegistrationAnswer } from './answers.ts'
import { ChainLookupError } from './chain-lookup-error.ts'
import { describePlace, staleNotice } from './chain-words.ts'
import { leftOut, publishable } from './publishable.ts'
import type { ChainSession, SessionOptions } from './session.ts'

export interface ChainCallsInit {
  registry(): ChainRegistry | Promise<ChainRegistry>
  aliases(): Aliases | Promise<Aliases>
  self(): PeerId | Promise<PeerId>
  settings: Pick<Settings, 'subnetId' | 'minClass'>
  /** The listen addresses of this peer's running node; empty if no node is running. */
  ownAddresses(): Multiaddr[]
}

/** The session's calls that need only the chain, run in this process. */
export class ChainCalls implements ChainSession {
  readonly #init: ChainCallsInit

  constructor(init: ChainCallsInit) {
    this.#init = init
  }

  async lookup(peer: string, options: SessionOptions = {}): Promise<ChainAnswer> {
    const { peerId } = await targetOf(peer, this.#init.aliases)
    const record = await this.#ask(options, async (registry, within) => registry.lookup(peerId, within))
    if (record.multiaddrs.length === 0) {
      throw missing(record, this.#init.settings.subnetId)
    }
    return toChainAnswer(record)
  }

  async list({ all, ...options }: SessionOptions & { all?: boolean } = {}): Promise<ChainListAnswer> {
    const { records, ...freshness } = await this.#ask(options, async (registry, within) => registry.list(within))
    const named = records.filter(({ multiaddrs }) => multiaddrs.length > 0)
    return {
      records: (all === true ? records : named).map(toChainAnswer),
      withoutAddress: records.length - named.length,
      ...freshnessOf(freshness),
    }
  }

  async show(peer: string | undefined, options: SessionOptions = {}): Promise<ChainPeerAnswer> {
    const { self, aliases, settings } = this.#init
    const peerId = peer == null ? await self() : (await targetOf(peer, aliases)).peerId
    const { minClass } = settings
    const [found, registration] = await this.#ask(options, async (registry, within) =>
      Promise.all([registry.describe(peerId, within), registry.isRegistered(peerId, minClass, within)]),
    )
    if (!found.known) {
      throw missing(found, found.subnetId)
    }
    return {
      ...toChainAnswer(found),
      ...freshnessOf(olderOf(found, registration)),
      subnetId: found.subnetId,
      friendlyId: found.friendlyId ?? null,
      hotkey: found.hotkey ?? null,
      coldkey: found.coldkey ?? null,
      admission: { minClass, admitted: registration.registered },
    }
  }

  async publish(multiaddrs: string[], options: SessionOptions = {}): Promise<PublishedAnswer> {
    const { taken, left } = publishable(this.#init.ownAddresses())
    const addresses = multiaddrs.length > 0 ? multiaddrs.map(parseMultiaddr) : taken
    if (addresses.length === 0) {
      throw left.length > 0 ? new UsageError(`the node has no address that the chain accepts; ${leftOut(left)}`) : nothingToPublish()
    }
    return toAnswer(await this.#ask(options, async (registry, within) => registry.publish(addresses, within)))
  }

  async remove(options: SessionOptions = {}): Promise<{ peerId: string; removed: boolean }> {
    const removed = await this.#ask(options, async (registry, within) => registry.remove(within))
    return { peerId: (await this.#init.self()).toString(), removed }
  }

  async register(nodeClass: NodeClass, options: SessionOptions = {}): Promise<RegistrationAnswer> {
    const registration = await this.#ask(options, async (registry, within) => registry.register(nodeClass, within))
    const { peerId, registered, block } = registration
    return { peerId: peerId.toString(), registered, class: nodeClass, block }
  }

  async unregister(options: SessionOptions = {}): Promise<{ peerId: string; removed: boolean }> {
    const removed = await this.#ask(options, async (registry, within) => registry.unregister(within))
    return { peerId: (await this.#init.self()).toString(), removed }
  }

  async #ask<T>({ signal, timeoutMs }: SessionOptions, ask: (registry: ChainRegistry, within: ChainOptions) => Promise<T>): Promise<T> {
    const registry = await this.#init.registry()
    using deadline = new Deadline(timeoutMs, signal)
    // without a signal, the registry applies its default deadline
    return await ask(registry, { signal: timeoutMs == null ? signal : deadline.signal })
  }
}

/** The error if no addresses were named and no running node has any. */
export function nothingToPublish({ paysFees = false } = {}): NodeError {
  const byItself = paysFees ? '' : ', or let the node do it: subnet start --publish'
  return new NodeError('NOT_RUNNING', 'no addresses to publish: none were named, and no node runs in this home', {
    hint: `name the addresses: subnet chain publish MULTIADDR…${byItself}`,
  })
}

/** Formats a record for output. */
export function toAnswer({ peerId, multiaddrs, verified, ...freshness }: PublishedRecord): PublishedAnswer {
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), verified, ...freshnessOf(freshness) }
}

function toChainAnswer(record: ChainRecord): ChainAnswer {
  return { ...toAnswer(record), ...placeOf(record) }
}

function placeOf({ role, nodeId, nodeClass }: ChainRecord): Pick<ChainAnswer, 'role' | 'nodeId' | 'class'> {
  return { role: role ?? null, nodeId: nodeId ?? null, class: nodeClass ?? null }
}

function freshnessOf({ block, stale, readAtMs }: Freshness): FreshnessAnswer {
  return { block, stale, readAtMs }
}

/** The older of two freshness values, for two answers shown as one. The chain may have been unavailable for only one answer. */
function olderOf(one: Freshness, other: Freshness): Freshness {
  return other.stale && !(one.stale && one.readAtMs <= other.readAtMs) ? other : one
}

/** The error for a peer without an address; it tells registered peers from unknown peers. */
function missing(record: ChainRecord, subnetId: number): ChainLookupError {
  const peer = record.peerId.toString()
  const place = placeOf(record)
  const details = { registered: place.role != null || place.class != null, ...place, ...freshnessOf(record) }
  const stale = staleNotice(record)
  const when = stale == null ? '' : ` (${stale})`
  if (!details.registered) {
    const message = `the chain has no address of ${peer}, and the peer is not registered in the subnet${when}`
    return new ChainLookupError(
      message,
      details,
      'a peer publishes its addresses with "subnet chain publish" or "subnet start --publish"; is this the right --chain and --subnet-id?',
    )
  }
  const message = `${peer} is registered in subnet ${subnetId} (${describePlace(place)}), and has no address on the chain${when}`
  return new ChainLookupError(message, details, 'the DHT and gossip may know an address: subnet resolve asks them')
}
