import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { WorkingTransports } from '../../../src/node/dial/working-transports.ts'
import { PEER_ID } from '../../support/seeds.ts'

describe('the transport that answered first', () => {
  const peerId = peerIdFromString(PEER_ID)
  const tcp = multiaddr(`/ip4/45.79.0.1/tcp/1/p2p/${PEER_ID}`)
  const quic = multiaddr(`/ip4/45.79.0.1/udp/1/quic-v1/p2p/${PEER_ID}`)
  const both = [tcp, quic]

  it('is unknown at first: all addresses are dialled at once', () => {
    assert.deepEqual(new WorkingTransports().secondsOf(both), [])
  })

  it('goes first the next time, the other one second', () => {
    const working = new WorkingTransports()
    working.note(peerId, tcp, both)
    assert.deepEqual(working.secondsOf(both), [quic])
    working.note(peerId, quic, both)
    assert.deepEqual(working.secondsOf(both), [tcp])
  })

  it('is no reason to wait where there are addresses of the other one alone', () => {
    const working = new WorkingTransports()
    working.note(peerId, tcp, both)
    assert.deepEqual(working.secondsOf([quic]), [])
  })

  it('is noted only where both were dialled', () => {
    const working = new WorkingTransports()
    working.note(peerId, tcp, [tcp])
    assert.deepEqual(working.secondsOf(both), [])
  })
})
