import assert from 'node:assert/strict'
import { GoLab } from './go-peer.ts'
import { testQuicOf } from './quic.ts'

testQuicOf('Go', new GoLab(), 300, async (peer, node) => {
  const { transport, connections } = await peer.do('connection', { peer: node })
  assert.deepEqual([transport, connections], ['quic-v1', 1])
})
