import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { Connection, PeerId } from '@libp2p/interface'
import { SharedKeys } from '../../../src/node/stack/shared-keys.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer } from '../../support/keys.ts'
import { eventually } from '../../support/protocol-host.ts'

/** The port in the record that is given. */
type Answer = number | 'nothing' | 'no answer'

describe('a peer with two connections', () => {
  const lines: string[] = []
  let peer: Awaited<ReturnType<typeof newPeer>>
  let connections: Connection[]
  let answers: Map<Connection, Answer[]>
  let asked: number
  let keys: SharedKeys
  /** Rings with each question. */
  let bell: EventEmitter

  beforeEach(async () => {
    peer = await newPeer()
    lines.length = 0
    connections = []
    answers = new Map()
    asked = 0
    bell = new EventEmitter()
    keys = new SharedKeys({ firstWaitMs: 1, log: createLogger('debug', (line) => lines.push(line)), ask: answer })
    keys.follow({ getConnections: (peerId?: PeerId) => connections.filter(({ remotePeer }) => peerId?.equals(remotePeer) === true) })
  })

  function recordAt(port: number): Parameters<SharedKeys['saw']>[1] {
    return { multiaddrs: [peer.at(port)] }
  }

  async function answer(connection: Connection): ReturnType<ConstructorParameters<typeof SharedKeys>[0]['ask']> {
    asked++
    bell.emit('asked')
    const given = answers.get(connection) ?? []
    const next = given.length > 1 ? given.shift() : given[0]
    if (next === 'no answer') {
      throw new Error('no answer')
    }
    return typeof next === 'number' ? recordAt(next) : undefined
  }

  /** A connection whose other side told this port when it came, and gives these answers, the last one again and again. */
  function connection(told: number, ...then: Answer[]): Connection {
    const made = { remotePeer: peer.peerId, status: 'open' } as Connection
    connections.push(made)
    answers.set(made, then)
    keys.saw(made, recordAt(told))
    return made
  }

  async function questions(count: number): Promise<void> {
    while (asked < count) {
      await once(bell, 'asked')
    }
  }

  it('is two nodes where each goes on giving its own addresses: the log says so once, the notice while both are connected', async () => {
    const first = connection(1, 1)
    connection(2, 2)
    await eventually(() => keys.notices.length > 0, 'it is told of')
    assert.match(
      keys.notices.join(),
      /^two nodes run with the key of 12D3\S+, at \/ip4\/10\.0\.0\.1\/tcp\/1\/p2p\/\S+ and at \/ip4\/10\.0\.0\.1\/tcp\/2\//,
    )
    keys.saw(first, recordAt(3))
    assert.deepEqual([asked, lines.length], [4, 1])
    first.status = 'closed'
    assert.deepEqual(keys.notices, [])
  })

  it('is two nodes also where the addresses of one change at first', async () => {
    connection(1, 1, 3)
    connection(2, 2)
    await eventually(() => keys.notices.length > 0, 'it is told of')
    assert.equal(asked, 8)
  })

  for (const [what, one, other, times] of [
    ['has told both of its new addresses by now', [2], [2], 4],
    ['gets new addresses while it is asked', [1, 2], [2], 8],
    ['has addresses that come and go', [1, 2, 1, 2, 2], [2, 1, 2, 1, 2], 12],
    ['was restarted: the old connection is dead', ['no answer'], [2], 1],
    ['has a connection of a command that only asks', [1], ['nothing'], 4],
  ] as Array<[string, Answer[], Answer[], number]>) {
    it(`is one node where it ${what}`, async () => {
      connection(1, ...one)
      connection(2, ...other)
      await questions(times)
      // what it makes of the last answer
      await new Promise(setImmediate)
      assert.deepEqual([keys.notices, lines.filter((line) => line.startsWith('warn')), asked], [[], [], times])
    })
  }

  it('is not asked where both told the same addresses, or one told none', () => {
    connection(1)
    connection(1)
    connections.push({ remotePeer: peer.peerId, status: 'open' } as Connection)
    keys.saw(connections[0] as Connection, recordAt(1))
    assert.deepEqual(keys.comparing, 0)
  })

  it('is compared three times at once at most, however often its addresses change', async () => {
    const first = connection(1, 9)
    connection(2, 9)
    for (let round = 1; round <= 3; round++) {
      await questions(4 * round)
      await eventually(() => keys.comparing === 0, 'it is compared')
      keys.saw(first, recordAt(100 + round))
    }
    assert.equal(keys.comparing, 0)
  })
})
