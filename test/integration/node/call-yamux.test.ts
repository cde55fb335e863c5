import assert from 'node:assert/strict'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { forCalls } from '../../../src/node/adapters/call-yamux.ts'
import { inTurns } from '../../../src/node/adapters/stream-turns.ts'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { header, RawCaller, type Shape } from '../../support/raw-caller.ts'
import { frameOf } from '../../support/streams.ts'

const ID = '/test/echo/1.0.0'

describe('a stream that a peer opens before its connection is set up', () => {
  let server: Libp2p
  let caller: RawCaller
  /** The server sets connections up when it resolves. */
  let gate: PromiseWithResolvers<void>

  before(async () => {
    server = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [forCalls(inTurns(yamux()))],
      connectionGater: {
        denyInboundUpgradedConnection: async () => {
          await gate.promise
          return false
        },
      },
    })
    await server.handle(ID, async (stream) => {
      const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
      const { bytes } = await framed.read()
      framed.expectEnd()
      await framed.write(bytes)
      await framed.close({})
    })
  })

  beforeEach(async () => {
    caller = await RawCaller.start()
    gate = Promise.withResolvers()
  })

  afterEach(async () => caller.stop())

  after(async () => server.stop())

  for (const shape of ['one write', 'by lines', 'the end in the data frame'] satisfies Shape[]) {
    it(`is answered though its request has ended by then: ${shape}`, async () => {
      const request = frameOf(Buffer.from('hello'))
      const heard = caller.say(server.getMultiaddrs(), [header(ID), request], shape, 'half-close', () => gate.resolve())
      assert.ok((await heard).equals(Buffer.concat([header(ID), request])))
    })
  }
})
