import assert from 'node:assert/strict'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

/** Outbound streams that py-libp2p has places for on a connection. 0.7 and older never give one back: the next stream waits for ever. */
const PLACES = 256
const HANGS_AFTER_MS = 20_000

describe('a Python peer that calls more often than its library has places for streams on a connection', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let node: SubnetNode
  let me: string
  let peer: ForeignPeer

  beforeEach(async () => {
    node = await lab.node({ handler: ({ payload }) => payload })
    me = node.peerId.toString()
    peer = await python.peer()
    await peer.do('dial', { address: addressOf(node) })
  })

  afterEach(async () => {
    await python.clean()
    await lab.clean()
  })

  for (const end of ['close', 'reset']) {
    it(`gets an answer to each call, where it ends each stream (${end})`, async () => {
      const calls = { peer: me, count: 2 * PLACES + 1, end, withinMs: HANGS_AFTER_MS }
      assert.deepEqual(await peer.do('calls', calls), { answered: 2 * PLACES + 1 })
      assert.equal(node.connections.length, 1)
    })
  }
})
