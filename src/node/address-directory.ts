import type { PeerId } from '@libp2p/interface'
import type { AddressBook } from '../gossip/address-book.ts'
import type { HeartbeatService } from '../gossip/heartbeat.ts'
import { HEARTBEAT_INTERVAL_MS } from '../gossip/heartbeat-interval.ts'
import { openPeerRecord } from '../gossip/peer-record.ts'
import type { AddressDirectory, KnownRecord } from '../protocol/builtin/address.ts'
import type { LiveRecord, LiveRecords } from './adapters/live-records.ts'
import { byDistance, type Speakers } from './speakers.ts'

/** The parts of a node that answer address requests. */
export interface DirectoryInit {
  self: PeerId
  book: AddressBook
  liveRecords: LiveRecords
  heartbeats: HeartbeatService | undefined
  speakers: Speakers
}

/** Answers the address requests of peers. */
export function addressDirectory({ self, book, liveRecords, heartbeats, speakers }: DirectoryInit): AddressDirectory {
  return {
    recordOf: async (peerId) => {
      if (peerId.equals(self)) {
        return heartbeats?.ownRecord == null
          ? undefined
          : { envelope: heartbeats.ownRecord.envelope, ageMs: 0, intervalMs: heartbeats.counts.intervalMs }
      }
      return recordHeardLast(liveRecords.of(peerId), book, peerId)
    },
    sequenceOf: async (envelope, peerId) =>
      openPeerRecord(envelope).then(
        (record) => (record.peerId.equals(peerId) && record.multiaddrs.length > 0 ? record.seq : undefined),
        () => undefined,
      ),
    neighbours: (target) => byDistance(speakers.list(), target),
  }
}

/**
 * The record of a live connection wins over the stored record, even if its sequence number is lower. A stored record wins only if a
 * heartbeat brought it later, with a higher sequence number.
 */
function recordHeardLast(live: LiveRecord | undefined, book: AddressBook, peerId: PeerId): KnownRecord | undefined {
  const entry = book.get(peerId)
  const stored: KnownRecord | undefined =
    entry?.envelope == null || entry.multiaddrs.length === 0 || !book.isFresh(entry)
      ? undefined
      : { envelope: entry.envelope, ageMs: book.ageMs(entry), intervalMs: entry.intervalMs }
  if (live == null) {
    return stored
  }
  const isLater = entry != null && entry.seq > live.seq && (entry.heartbeatAtMs ?? 0) > live.heardAtMs
  return stored != null && isLater ? stored : { envelope: live.envelope, ageMs: 0, intervalMs: HEARTBEAT_INTERVAL_MS.default }
}
