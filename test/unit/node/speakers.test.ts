import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { Speakers } from '../../../src/node/speakers.ts'

const PROTOCOL = '/test/speak/1.0.0'

describe('the connected peers that speak a protocol', () => {
  const connected: PeerId[] = []
  let speakers: Speakers
  let libp2p: EventTarget
  let peer: PeerId

  function identified(protocols: string[]): void {
    libp2p.dispatchEvent(new CustomEvent('peer:identify', { detail: { peerId: peer, protocols } }))
  }

  beforeEach(async () => {
    peer = peerIdFromPublicKey((await generateKeyPair('Ed25519')).publicKey)
    connected.splice(0, connected.length, peer)
    libp2p = Object.assign(new EventTarget(), { getConnections: (id: PeerId) => connected.filter((other) => other.equals(id)) })
    speakers = new Speakers()
    speakers.follow(libp2p as unknown as Libp2p, PROTOCOL)
  })

  it('are those that told so, until they disconnect', () => {
    identified([PROTOCOL])
    assert.deepEqual(speakers.list(), [peer])
    libp2p.dispatchEvent(new CustomEvent('peer:disconnect', { detail: peer }))
    assert.deepEqual(speakers.list(), [])
  })

  it('are no longer those that have stopped to speak it', () => {
    identified([PROTOCOL])
    identified([])
    assert.deepEqual(speakers.list(), [])
  })

  it('are not those that were gone before they were identified', () => {
    connected.pop()
    identified([PROTOCOL])
    assert.deepEqual(speakers.list(), [])
  })
})
