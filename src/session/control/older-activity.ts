import { multiaddr } from '@multiformats/multiaddr'
import { isRelayed } from '../../primitives/address-kind.ts'
import type { ActivityAnswer, PeerRow, StatusAnswer } from '../answers.ts'
import { isGivenUp } from '../given-up.ts'

/** The activity derived from a node's status and peers. Bytes, tiers and the peers of tasks stay unknown. */
export function olderActivity({ uptimeMs, tasks }: StatusAnswer, peers: PeerRow[], nowMs = Date.now()): ActivityAnswer {
  const unknown = { bytesSent: 0, bytesReceived: 0 }
  const { accepted, rejected, running, queued, sent, sentAccepted, sentRejected, sentFailed, rejections = [], lastRejections = [] } = tasks
  const givenUp = rejections.find(isGivenUp)?.count ?? 0
  return {
    uptimeMs,
    inbound: { ...unknown, accepted, rejected, givenUp, failed: 0, running, queued },
    outbound: {
      ...unknown,
      accepted: sentAccepted,
      rejected: sentRejected,
      givenUp: 0,
      failed: sentFailed,
      running: sent - sentAccepted - sentRejected - sentFailed,
      queued: 0,
    },
    tiers: [],
    peers: [],
    failures: lastRejections.map((rejection) => ({ ...rejection, direction: 'inbound' })),
    connections: peers
      .filter(({ connected }) => connected)
      .map(({ peerId, alias, direction, multiaddrs: [address = ''], latencyMs }) => ({
        peerId,
        alias,
        direction: direction ?? 'outbound',
        relayed: address !== '' && isRelayed(multiaddr(address)),
        multiaddr: address,
        openedAtMs: nowMs,
        latencyMs,
      })),
  }
}
