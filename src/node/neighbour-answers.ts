import type { PeerId } from '@libp2p/interface'
import { HEARTBEAT_INTERVAL_MS } from '../gossip/heartbeat-interval.ts'
import { openPeerRecord } from '../gossip/peer-record.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { type Budget, budgetOf } from '../primitives/budget.ts'
import { Deadline } from '../primitives/deadline.ts'
import type { AddressProtocol, KnownRecord } from '../protocol/builtin/address.ts'
import type { Candidate } from '../resolve/tier.ts'
import type { AskPeer } from '../resolve/tiers/neighbours.ts'
import { MAX_ADDRESSES, type Memory } from './book-answers.ts'
import type { NodeParts } from './node-parts.ts'
import type { Speakers } from './speakers.ts'
import { walkTo } from './stack/kademlia-walk.ts'

/** Time limit of one question to a neighbour, scaled by its round-trip time. A newly started node has to connect first. */
const ASK: Budget = { times: 50, minMs: 3_000, maxMs: 15_000 }
const CONNECT_MS = 2_000

/** The parts of a node that ask neighbours. */
export interface NeighboursInit extends Memory, Pick<NodeParts, 'libp2p' | 'bootstrap' | 'liveness'> {
  speakers: Speakers
  /** A getter: the protocol is created after this source. */
  addresses: () => AddressProtocol
  namedOver(neighbour: PeerId): NamedOver
  /** True for a peer that the door refuses. Answers about such a peer are discarded. */
  isStranger(peerId: PeerId): Promise<boolean>
}

/** Initial time budget of the neighbours tier, in milliseconds. Slow neighbours extend it. */
export function neighboursBudgetMs(serves: boolean): number {
  return serves ? ASK.minMs : ASK.minMs + CONNECT_MS
}

/** Asks the connected peers and the Kademlia table. */
export function neighbourSource(init: NeighboursInit): AskPeer {
  const { libp2p, bootstrap, liveness, speakers } = init
  const askMs = (peerId?: PeerId): number => {
    const rtts = libp2p.getConnections(peerId).map((connection) => liveness.rttMsOf(connection))
    return budgetOf(Math.max(0, ...rtts), ASK)
  }
  return {
    neighbours: async function* (target, options) {
      for await (const neighbour of speakers.closestTo(target, bootstrap, options)) {
        options.prolong?.(askMs(neighbour))
        yield neighbour
      }
    },
    ask: async (neighbour, target, { signal }) => {
      const answer = await init.addresses().ask(neighbour, target, { signal, timeoutMs: askMs(neighbour) })
      return answer == null || (await init.isStranger(target)) ? undefined : rememberAnswer(init, answer, neighbour)
    },
    walk: async (target, { signal, mayDial }) => {
      await bootstrap.settled(signal)
      // a separate deadline: a slow bootstrap may have extended the deadline of the tier
      using deadline = new Deadline(askMs(), signal)
      const multiaddrs = await walkTo(libp2p, target, MAX_ADDRESSES, deadline.signal, mayDial ?? (() => false))
      return multiaddrs.length === 0
        ? undefined
        : { multiaddrs, source: 'neighbour', verified: false, seq: 0n, ageMs: undefined, detail: 'by the Kademlia walk' }
    },
  }
}

/** Verifies the signature of a neighbour's answer, stores the record in the book and returns it as a candidate. */
async function rememberAnswer(
  { book, note, namedOver: namedOverBy }: Pick<NeighboursInit, 'book' | 'note' | 'namedOver'>,
  { envelope, intervalMs, ageMs, hops }: KnownRecord & { hops: number },
  neighbour: PeerId,
): Promise<Candidate> {
  const namedOver = namedOverBy(neighbour)
  const { multiaddrs, seq, ...record } = await openPeerRecord(envelope)
  const rest = { origin: 'neighbour', namedOver, state: 'online', heartbeatAtMs: undefined, bad: false } as const
  note(async () => book.put({ ...record, multiaddrs, seq, ...rest, seenAtMs: Date.now() - ageMs, intervalMs: boundedInterval(intervalMs) }))
  const detail = `by way of ${neighbour.toString()}, ${hops} hop(s)`
  return { multiaddrs, namedOver, source: 'neighbour', verified: true, seq, ageMs, detail }
}

/** Clamps an interval as in a peer's own heartbeat. The neighbour that passes it on does not matter. */
function boundedInterval(intervalMs: number): number {
  return Math.min(Math.max(intervalMs, HEARTBEAT_INTERVAL_MS.min), HEARTBEAT_INTERVAL_MS.max)
}
