import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import { readPeerState } from '../../src/gossip/peer-state-message.ts'
import { fuzz, mutated } from '../support/fuzzing.ts'
import { newPeer } from '../support/keys.ts'
import { encoded, recordedStates, stateOf } from '../support/template-state.ts'

const MIB = 1 << 20

describe('a message of peer_state, whatever is in it', function () {
  this.timeout(120_000)

  it('is read, or there is a verdict', async () => {
    const author = await newPeer()
    const own = await stateOf(author, { createdAtMs: 1_800_000_000_000, multiaddr: '/ip4/10.0.0.1/tcp/1000' })
    const valid = [
      { data: encoded(own), from: author.peerId },
      ...recordedStates().map(({ data, from }) => ({ data: encoded(data), from: peerIdFromString(from) })),
    ]
    const input = fc.constantFrom(...valid).chain(({ data, from }) => {
      const bytes = fc.oneof(
        { weight: 5, arbitrary: mutated(data) },
        { weight: 1, arbitrary: fc.constant(data) },
        { weight: 2, arbitrary: fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)) },
        { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
      )
      return fc.record({ bytes, from: fc.constant(from) })
    })
    await fuzz(input, { runs: 5_000 }, MIB, async ({ bytes, from }) => {
      const read = readPeerState(bytes, from)
      if ('result' in read) {
        assert.match(read.result, /^(ignore|reject)$/)
      } else if (read.kind === 'state') {
        const verdict = await read.check()
        assert.match(verdict?.result ?? 'ignore', /^(ignore|reject)$/)
      }
    })
  })
})
