import assert from 'node:assert/strict'
import { OwnKey } from '../../../src/gossip/own-key.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer } from '../../support/keys.ts'

describe('records with the key of this node', () => {
  const lines: string[] = []
  let now: number
  let ownKey: OwnKey
  let told: (seq: number, port: number) => Parameters<OwnKey['saw']>[0]

  before(async () => {
    const peer = await newPeer()
    told = (seq, port) => ({ seq: BigInt(seq), multiaddrs: [peer.at(port)] })
  })

  beforeEach(() => {
    now = 1_000_000
    lines.length = 0
    ownKey = new OwnKey({ log: createLogger('warn', (line) => lines.push(line)), now: () => now })
    ownKey.signed(told(100, 1))
  })

  it('are another node’s where two of them came one after the other: the log says so once, the notice as long as they come', () => {
    ownKey.saw(told(110, 2))
    assert.deepEqual(ownKey.notices, [])
    for (let seq = 120; seq < 150; seq++) {
      ownKey.saw(told(seq, 2))
    }
    assert.match(ownKey.notices.join(), /^another node runs with this node's key, at \/ip4\/10\.0\.0\.1\/tcp\/2\//)
    assert.equal(lines.length, 1)
    now += 300_001
    assert.deepEqual(ownKey.notices, [])
  })

  for (const [what, records] of [
    [
      'that were signed here',
      [
        [100, 1],
        [100, 1],
      ],
    ],
    [
      'from before it was started',
      [
        [98, 2],
        [99, 2],
      ],
    ],
    [
      'of which one was left over',
      [
        [110, 2],
        [110, 2],
      ],
    ],
    [
      'that libp2p signed, of the same addresses',
      [
        [110, 1],
        [120, 1],
      ],
    ],
  ] as const) {
    it(`are its own ${what}`, () => {
      for (const [seq, port] of records) {
        ownKey.saw(told(seq, port))
      }
      assert.deepEqual(ownKey.notices, [])
      assert.deepEqual(lines, [])
    })
  }
})
