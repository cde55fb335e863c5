import assert from 'node:assert/strict'
import { once } from 'node:events'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { Stream, StreamMessageEvent, StreamMuxer } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { inTurns } from '../../../src/node/adapters/stream-turns.ts'

const STREAMS = 40

describe('streams that wait for their turns', () => {
  let near: StreamMuxer
  let far: StreamMuxer

  beforeEach(() => {
    const [outbound, inbound] = multiaddrConnectionPair()
    const factory = inTurns(yamux())()
    near = factory.createStreamMuxer(outbound)
    far = factory.createStreamMuxer(inbound)
  })

  it('are handed on one in each turn of the event loop, in the order in which they were opened', async () => {
    let turn = 0
    let immediate = setImmediate(count)
    function count(): void {
      turn++
      immediate = setImmediate(count)
    }
    const came: Array<{ id: string; turn: number }> = []
    const all = Promise.withResolvers<void>()
    far.addEventListener('stream', ({ detail }) => {
      if (came.push({ id: detail.id, turn }) === STREAMS) {
        all.resolve()
      }
    })
    const opened = await Promise.all(Array.from({ length: STREAMS }, async () => near.createStream()))
    for (const stream of opened) {
      stream.send(Buffer.from('begin'))
    }
    await all.promise
    clearImmediate(immediate)
    assert.equal(new Set(came.map(({ turn }) => turn)).size, STREAMS)
    assert.deepEqual(
      came.map(({ id }) => id),
      opened.map(({ id }) => id),
    )
  })

  it('keep what comes for them meanwhile', async () => {
    const stream = await near.createStream()
    const handedOn = once(far, 'stream')
    stream.send(Buffer.from('all of it'))
    const [{ detail }] = (await handedOn) as [CustomEvent<Stream>]
    const [message] = (await once(detail, 'message')) as [StreamMessageEvent]
    assert.equal(Buffer.from(message.data.subarray()).toString(), 'all of it')
  })
})
