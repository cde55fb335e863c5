import assert from 'node:assert/strict'
import type { Connection } from '@libp2p/interface'
import { openPeerRecord, sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { LiveRecords } from '../../../src/node/adapters/live-records.ts'
import { addressDirectory } from '../../../src/node/address-directory.ts'
import { Speakers } from '../../../src/node/speakers.ts'
import { addresses, newPeer } from '../../support/keys.ts'
import { TemporaryBook, unsignedEntry } from '../gossip/temporary-book.ts'

describe('what a node answers to neighbours about a peer', () => {
  let temporary: TemporaryBook

  beforeEach(async () => {
    temporary = await TemporaryBook.create()
  })

  afterEach(async () => temporary.remove())

  it('is what the peer signed, and never an address that only a connection confirmed or the peer only said', async () => {
    const [self, peer] = await Promise.all([newPeer(), newPeer()])
    const book = await temporary.open()
    const liveRecords = new LiveRecords()
    liveRecords.follow({ addEventListener: () => undefined, getConnections: () => [{} as Connection] })
    const { recordOf } = addressDirectory({ self: self.peerId, book, liveRecords, heartbeats: undefined, speakers: new Speakers() })
    await book.put(unsignedEntry(peer, { origin: 'dialled', namedOver: 'private' }))
    assert.notEqual(book.get(peer.peerId), undefined)
    assert.equal(await recordOf(peer.peerId), undefined)
    const signed = await sealPeerRecord(peer.privateKey, addresses(peer, 1), 7n)
    await liveRecords.note({ remotePeer: peer.peerId } as Connection, signed.envelope)
    const told = await recordOf(peer.peerId)
    assert.equal((await openPeerRecord(told?.envelope as Uint8Array)).seq, 7n)
  })
})
