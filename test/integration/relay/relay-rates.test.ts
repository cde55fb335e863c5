import assert from 'node:assert/strict'
import { RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { RELAY_BOUNDS, RelayServer } from '../../../src/node/stack/relay-server.ts'
import { strangerId } from '../../support/keys.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'
import { askRelay, connectTo, RESERVE, STATUS } from '../../support/relay-requests.ts'

const CONNECT = connectTo(peerIdFromString(strangerId().peerId))

/** What a peer that is not of the subnet is answered while it may ask, and once it may not; of one peer and of one address, and when it may ask again. */
const RATES = [
  {
    what: 'for a place',
    request: RESERVE,
    heard: STATUS.permissionDenied,
    refused: STATUS.reservationRefused,
    peer: { burst: 4, refillMs: 10_000 },
    host: { burst: 128, refillMs: 500 },
  },
  {
    what: 'to be connected',
    request: CONNECT,
    heard: STATUS.noReservation,
    refused: STATUS.resourceLimitExceeded,
    peer: { burst: 32, refillMs: 500 },
    host: { burst: 128, refillMs: 100 },
  },
]

describe('requests to a relay', function () {
  this.timeout(60_000)
  const stacks = new OtherStacks()
  let nowMs: number
  let relay: Awaited<ReturnType<OtherStacks['start']>>

  beforeEach(async () => {
    nowMs = 1_000_000
    const server = new RelayServer({ bounds: RELAY_BOUNDS, kadProtocol: '/test/kad/1.0.0', now: () => nowMs })
    relay = await stacks.start({
      services: { identify: identify(), relay: (components) => server.service(components as never) },
      connectionGater: server.gater,
      connectionManager: { inboundConnectionThreshold: 1_000 },
    })
    await server.offer(true)
  })

  afterEach(async () => stacks.stop())

  async function peer(): Promise<Connection> {
    const stack = await stacks.start({ services: { identify: identify() } })
    return stack.dial(stacks.addressOf(relay))
  }

  async function statusOf(connection: Connection, request: Uint8Array): Promise<number> {
    const { answer, stream } = await askRelay(connection, request)
    await stream.close()
    return answer.status
  }

  for (const { what, request, heard, refused, peer: ofPeer, host } of RATES) {
    it(`${what} of one peer are ${ofPeer.burst}, then one in ${ofPeer.refillMs} ms`, async () => {
      const connection = await peer()
      for (let times = 0; times < ofPeer.burst; times++) {
        assert.equal(await statusOf(connection, request), heard)
      }
      assert.equal(await statusOf(connection, request), refused)
      nowMs += ofPeer.refillMs
      assert.equal(await statusOf(connection, request), heard)
      assert.equal(await statusOf(connection, request), refused)
    })

    it(`${what} of one address are ${host.burst}, then one in ${host.refillMs} ms`, async () => {
      for (let asked = 0; asked < host.burst; asked += ofPeer.burst) {
        const connection = await peer()
        for (let times = 0; times < ofPeer.burst; times++) {
          assert.equal(await statusOf(connection, request), heard)
        }
      }
      const late = await peer()
      assert.equal(await statusOf(late, request), refused)
      nowMs += host.refillMs
      assert.equal(await statusOf(late, request), heard)
      assert.equal(await statusOf(late, request), refused)
    })
  }

  it('have 32 streams on a connection: a further one is reset', async () => {
    const connection = await peer()
    const streams: Stream[] = []
    for (let count = 0; count < 32; count++) {
      streams.push(await connection.newStream(RELAY_V2_HOP_CODEC, { maxOutboundStreams: 1_000 }))
    }
    await assert.rejects(askRelay(connection, CONNECT))
    streams[0]?.abort(new Error('over'))
    await eventually(() => relay.getConnections().flatMap(({ streams: open }) => open).length < 32, 'a place for a stream is free')
    assert.equal(await statusOf(connection, CONNECT), STATUS.noReservation)
  })
})
