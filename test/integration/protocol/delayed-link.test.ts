import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { isPipelinedId, type Reached } from '../../../src/protocol/api/host.ts'
import { FrameReader } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { DelayedProxy } from '../../support/delayed-proxy.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { someBytes } from '../../support/streams.ts'

const MIB = 1024 * 1024
const ONE_WAY_MS = 20

describe('a kept stream over a link with a delay', function () {
  this.timeout(60_000)
  const lab = new Lab()

  let proxy: DelayedProxy | undefined

  after(async () => {
    await lab.clean()
    proxy?.close()
  })

  it('has no more bytes under way than the window of its muxer', async () => {
    const answerer = await lab.node({ handler: ({ payload }) => payload.subarray(0, 1) })
    const caller = await lab.node()
    const [, near] = /\/tcp\/(\d+)\//.exec(addressOf(answerer)) ?? []
    proxy = await DelayedProxy.to(Number(near), ONE_WAY_MS)
    const to = multiaddr(`/ip4/127.0.0.1/tcp/${proxy.port}/p2p/${answerer.peerId.toString()}`)
    const reached = Promise.withResolvers<Reached>()
    await caller.tasks.sendTask(to, 'a small one', someBytes(1), { onReached: reached.resolve })
    const { connection } = await reached.promise
    const stream = connection.streams.find(({ protocol }) => isPipelinedId(protocol))
    assert.ok(stream)

    let underWay = 0
    let most = 0
    const send = stream.send.bind(stream)
    stream.send = (bytes) => {
      underWay += bytes.byteLength
      most = Math.max(most, underWay)
      return send(bytes)
    }
    const reader = new FrameReader()
    stream.addEventListener('message', ({ data }) => {
      reader.feed(data.subarray())
      for (let frame = reader.next(); frame != null; frame = reader.next()) {
        underWay -= frame.read
      }
    })
    const { accepted } = await caller.tasks.sendTask(to, 'a large one', someBytes(16 * MIB))
    assert.equal(accepted, true)
    assert.ok(most <= MIB, `${most} bytes were under way`)
  })
})
