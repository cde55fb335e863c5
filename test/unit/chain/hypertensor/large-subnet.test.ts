import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState } from '../../../support/hypertensor-state.ts'
import { strangerId } from '../../../support/keys.ts'
import type { StandInChain } from '../../../support/stand-in-chain.ts'

const NODES = 5_000
const KEYS_PER_PAGE = 1_000
const KEYS_PER_CALL = 256
const SIGNAL = new AbortController().signal

describe('a Hypertensor subnet of 5,000 nodes', () => {
  const setup = new HypertensorSetup()
  const peers = Array.from({ length: NODES }, strangerId)
  let state: HypertensorState
  let chain: StandInChain

  before(() => {
    state = HypertensorState.empty()
    for (const [index, { peerId, at }] of peers.entries()) {
      state.setNode(peerId, index % 2 === 0 ? at(index) : undefined)
    }
  })

  beforeEach(async () => {
    chain = await setup.chain({ state })
  })

  afterEach(async () => setup.clean())

  it('is listed with as few calls as its keys need, each row read once', async () => {
    const storage = setup.storage(chain)
    await storage.bootnodes(SIGNAL)
    chain.resetCounts()
    const read = storage.rowsRead
    const { value } = await storage.list(SIGNAL)
    assert.equal(value.peers.length, NODES)
    assert.equal(value.peers.filter(({ multiaddrs }) => multiaddrs.length === 1).length, NODES / 2)
    assert.equal(storage.rowsRead - read, NODES)
    assert.deepEqual(Object.fromEntries(chain.calls), {
      // full pages, the empty one after them, and one for each of the two maps without keys
      state_getKeysPaged: NODES / KEYS_PER_PAGE + 3,
      // and the key of the bootnodes, and that of the block
      state_queryStorageAt: Math.ceil((NODES + 2) / KEYS_PER_CALL),
    })
  })

  it('is not read for a single peer', async () => {
    const storage = setup.storage(chain)
    await storage.bootnodes(SIGNAL)
    chain.resetCounts()
    const read = storage.rowsRead
    const { value } = await storage.lookup(peerIdFromString(peers[4_000]?.peerId ?? ''), SIGNAL)
    assert.equal(value?.multiaddrs.length, 1)
    assert.equal(storage.rowsRead - read, 1)
    assert.deepEqual(Object.fromEntries(chain.calls), { state_queryStorageAt: 2 })
  })
})
