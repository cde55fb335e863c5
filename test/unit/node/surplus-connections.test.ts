import assert from 'node:assert/strict'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { putAside } from '../../../src/node/dial/aside.ts'
import { SurplusConnections } from '../../../src/node/direct/surplus-connections.ts'
import { createLogger } from '../../../src/observe/logger.ts'

const RELAYED = '/ip4/45.79.0.1/tcp/1/p2p-circuit'
const DIRECT = '/ip4/45.79.0.2/tcp/1'

describe('surplus connections', () => {
  let nowMs: number
  let connections: Connection[]
  let doubtful: Connection[]
  let closed: Connection[]
  let surplus: SurplusConnections

  beforeEach(() => {
    nowMs = 0
    ;[connections, doubtful, closed] = [[], [], []]
    surplus = new SurplusConnections({
      libp2p: { getConnections: () => connections, addEventListener: () => undefined, removeEventListener: () => undefined },
      inDoubt: (connection) => doubtful.includes(connection),
      log: createLogger('silent', () => undefined),
      now: () => nowMs,
    })
  })

  afterEach(() => surplus.stop())

  function open(address: string, direction: 'inbound' | 'outbound' = 'outbound', peer = 'B'): Connection {
    const connection = {
      ...{ direction, status: 'open', remoteAddr: multiaddr(address), remotePeer: { toString: () => peer }, streams: [] },
      close: async () => {
        closed.push(connection)
      },
    } as unknown as Connection
    connections.push(connection)
    return connection
  }

  /** A call that lasts until it is ended. */
  function call(connection: Connection): () => void {
    connection.streams.push({ protocol: '/subnet/task_protocol/1.0.0' } as Stream)
    return () => connection.streams.splice(0)
  }

  function closedAfter(ms: number): Connection[] {
    surplus.look()
    nowMs += ms
    surplus.look()
    return closed
  }

  it('are those through a relay where there is a direct one: each is closed after 5 s without calls', () => {
    const relayed = open(RELAYED)
    open(DIRECT)
    assert.deepEqual(closedAfter(4_999), [])
    assert.deepEqual(closedAfter(1), [relayed])
  })

  it('are left for longer to the side that dialled', () => {
    const relayed = open(RELAYED, 'inbound')
    open(DIRECT)
    assert.deepEqual(closedAfter(19_999), [])
    assert.deepEqual(closedAfter(1), [relayed])
  })

  it('are not closed while a call is under way, and have their time anew behind it', () => {
    const relayed = open(RELAYED)
    open(DIRECT)
    const end = call(relayed)
    assert.deepEqual(closedAfter(60_000), [])
    end()
    assert.deepEqual(closedAfter(4_999), [])
    assert.deepEqual(closedAfter(1), [relayed])
  })

  it('are not those without a direct one beside them: another peer has it, it is in doubt, closed, or not for calls', () => {
    open(RELAYED)
    open(DIRECT, 'outbound', 'C')
    doubtful.push(open(DIRECT))
    putAside(open(DIRECT))
    Object.assign(open(DIRECT), { status: 'closed' })
    assert.deepEqual(closedAfter(60_000), [])
  })

  it('are those that were handed over, too', () => {
    const direct = open(DIRECT)
    surplus.add(direct)
    assert.deepEqual(closedAfter(5_000), [direct])
  })
})
