import assert from 'node:assert/strict'
import { addressOf, Lab } from '../../support/nodes.ts'

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
})
