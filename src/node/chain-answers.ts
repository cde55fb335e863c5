import type { PeerId } from '@libp2p/interface'
import { CHAIN_PATIENCE_MS, type ChainRegistry, type Freshness } from '../chain/registry.ts'
import { HEARTBEAT_INTERVAL_MS } from '../gossip/heartbeat-interval.ts'
import type { Logger } from '../observe/logger.ts'
import { addressesOf, farthestFirst } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import type { ChainSource } from '../resolve/tiers/chain.ts'
import { MAX_ADDRESSES, type Memory } from './book-answers.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import type { Whereabouts } from './dial/meeting.ts'
import type { Home } from './home/home.ts'
import { isOwnLedger } from './home/own-ledger.ts'

/** Answers the chain tier from the registry. Signed records are stored in the address book. */
export function chainSource(registry: ChainRegistry, { book, note }: Memory): ChainSource {
  const { namedOver } = registry
  return {
    addressesOf: async (peerId, { signal, explain }) => {
      const record = await registry.lookup(peerId, { signal, patienceMs: CHAIN_PATIENCE_MS })
      if (record.multiaddrs.length === 0) {
        explain(`${record.known ? 'registered, no address on the chain' : 'not known'}${record.stale ? `, ${whenRead(record)}` : ''}`)
        return undefined
      }
      if (record.verified) {
        const rest = {
          envelope: undefined,
          origin: 'chain',
          namedOver,
          state: 'online',
          heartbeatAtMs: undefined,
          bad: false,
          verified: undefined,
        } as const
        note(async () => book.put({ ...record, ...rest, seenAtMs: Date.now(), intervalMs: HEARTBEAT_INTERVAL_MS.default }))
      }
      const { multiaddrs, verified, seq, stale, readAtMs } = record
      const ageMs = stale ? Math.max(0, Date.now() - readAtMs) : undefined
      return { multiaddrs, namedOver, source: 'chain', verified, seq, ageMs, detail: whenRead(record) }
    },
  }
}

/** Advice if a peer was not found; undefined for a chain that other nodes may read. */
export function ownLedgerHint(chain: string, home: Pick<Home, 'ledgerFile'>): string | undefined {
  return isOwnLedger(chain, home)
    ? 'the chain of this node is the ledger in its home, which no other node reads: use --chain to name one that nodes share, or --bootstrap to ' +
        'name a peer that may know it'
    : undefined
}

/** Text for the trace. Block 0 means that the endpoint does not report its block. */
function whenRead({ block, stale }: Freshness): string {
  return `read ${block === 0 ? 'from the chain' : `at block ${block}`}${stale ? ': the chain is away' : ''}`
}

/** The parts of a node that select bootnodes. */
export interface BootnodesInit {
  registry: ChainRegistry
  policy: DialPolicy
  self: PeerId
  log: Logger
}

/**
 * Picks up to `count` of the chain's bootnodes at random, with the addresses that this node may dial. Empty if the chain cannot be read
 * within 3.5 seconds.
 */
export async function bootnodesOf(
  { registry, policy, self, log }: BootnodesInit,
  count: number,
  signal: AbortSignal,
): Promise<Whereabouts[]> {
  try {
    using deadline = new Deadline(CHAIN_PATIENCE_MS, signal)
    const { records } = await registry.bootnodes({ signal: deadline.signal, patienceMs: CHAIN_PATIENCE_MS })
    return records
      .filter(({ peerId, multiaddrs }) => multiaddrs.length > 0 && !peerId.equals(self))
      .map((record) => ({ record, rank: Math.random() }))
      .sort((a, b) => a.rank - b.rank)
      .slice(0, count)
      .map(({ record: { peerId, multiaddrs } }) => {
        policy.note(multiaddrs, registry.namedOver)
        return { peerId, multiaddrs: farthestFirst(addressesOf(peerId, policy.allowed(multiaddrs), MAX_ADDRESSES)) }
      })
  } catch (error) {
    log.debug('cannot read the bootnodes of the chain', error)
    return []
  }
}
