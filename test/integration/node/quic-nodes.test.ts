import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { parseMultiaddr } from '../../../src/primitives/address.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'

const QUIC = '/ip4/127.0.0.1/udp/0/quic-v1'
const TCP = '/ip4/127.0.0.1/tcp/0'

describe('nodes over QUIC', function () {
  this.timeout(60_000)
  const lab = new Lab()
  afterEach(async () => lab.clean())

  it('announce it beside TCP, and call each other by peer ID', async () => {
    const echo = await lab.node({ settings: { listen: [TCP, QUIC] }, handler: ({ payload }) => payload })
    const kinds = echo.multiaddrs.map((address) => (address.toString().includes('/quic-v1') ? 'quic' : 'tcp'))
    assert.deepEqual(kinds.sort(), ['quic', 'tcp'])
    const quic = echo.multiaddrs.find((address) => address.toString().includes('/quic-v1'))
    const asker = await lab.node({ settings: { listen: [TCP], bootstrap: [String(quic)] } })

    const payload = new Uint8Array(3 << 20).fill(7)
    const { accepted, result } = await asker.tasks.sendTask(echo.peerId, 'a', payload)
    assert.equal(accepted, true)
    assert.ok(Buffer.from(result).equals(payload))
    const [connection] = asker.connections
    assert.match(String(connection?.remoteAddr), /\/udp\/\d+\/quic-v1\/p2p\//)
    const many = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => asker.tasks.sendTask(echo.peerId, `${index}`, payload.subarray(0, index))),
    )
    assert.ok(many.every((answer, index) => answer.accepted && answer.result.byteLength === index))
    assert.ok(addressOf(asker))
  })

  it('are called over TCP where UDP is dropped in silence, and at once the next time too', async () => {
    const echo = await lab.node({ settings: { listen: [TCP] }, handler: ({ payload }) => payload })
    const dropped = createSocket('udp4').bind(0, '127.0.0.1')
    await once(dropped, 'listening')
    let datagrams = 0
    dropped.on('message', () => datagrams++)
    const tcp = parseMultiaddr(addressOf(echo))
    const quic = multiaddr(`/ip4/127.0.0.1/udp/${dropped.address().port}/quic-v1/p2p/${echo.peerId}`)
    const asker = await lab.idle()
    await asker.start()
    for (let dial = 0; dial < 2; dial++) {
      const before = datagrams
      const { accepted } = await asker.tasks.sendTask([quic, tcp], `${dial}`, new Uint8Array(1), {
        onReport: ({ reached }) => assert.match(String(reached?.connection.remoteAddr), /\/tcp\//),
      })
      assert.ok(accepted)
      assert.ok(dial === 0 || datagrams === before, 'TCP was faster the last time: QUIC is second')
      await asker.disconnect(echo.peerId)
      await eventually(() => echo.connections.length === 0, 'the connection is gone')
      // what the first dial sent has come
      await eventually(() => datagrams > 0, 'a datagram came')
    }
    dropped.close()
  })

  it('have places by the host of a peer over QUIC too', async () => {
    const node = await lab.node({ settings: { listen: [QUIC], maxConnectionsPerIp: 2 } })
    const askers = await Promise.all(Array.from({ length: 4 }, async () => lab.idle()))
    for (const asker of askers) {
      await asker.start()
      await asker.ping(multiaddr(addressOf(node))).catch(() => undefined)
    }
    assert.equal(node.stats.places.largest?.open, 2)
    assert.equal(node.stats.places.turnedAway, 2)
  })

  it('tell each other at once that one stops', async () => {
    const node = await lab.node({ settings: { listen: [QUIC] } })
    const asker = await lab.idle()
    await asker.start()
    await asker.ping(multiaddr(addressOf(node)))
    const gone = event(asker, 'peer:disconnect')
    await node.stop()
    assert.equal((await gone).peerId, node.peerId.toString())
  })
})
