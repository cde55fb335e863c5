import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { NotTakenError } from '../../../src/protocol/api/call-stream.ts'
import type { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import { isConfirmed, negotiateLazily, noteReset, settled } from '../../../src/protocol/carrier/negotiate/negotiation.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framing.ts'
import { MemoryHost } from '../../support/memory-network.ts'
import { eventually, TextProtocol } from '../../support/protocol-host.ts'
import { header, line } from '../../support/raw-caller.ts'
import { cut, frameOf, TestStream } from '../../support/streams.ts'
import { failure, verdict } from '../../support/two-hosts.ts'

const ID = '/test/1.0.0'
const REQUEST = Buffer.from('request')
const ANSWER = Buffer.from('answer')

function cannotSend(): never {
  throw new Error('the connection is gone')
}

describe('a stream that is negotiated lazily', () => {
  let stream: TestStream
  let framed: FramedStream

  beforeEach(() => {
    stream = new TestStream('outbound')
    negotiateLazily(stream, ID)
    framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
  })

  async function failure(): Promise<NotTakenError> {
    const error = await framed.read().then(
      () => assert.fail('it was read'),
      (cause: unknown) => cause,
    )
    assert.ok(error instanceof NotTakenError, String(error))
    return error
  }

  it('has its protocol, and sends what it is called with the first bytes', async () => {
    assert.equal(stream.protocol, ID)
    await framed.write(REQUEST)
    await framed.write(REQUEST)
    assert.ok(stream.output.equals(Buffer.concat([header(ID), frameOf(REQUEST), frameOf(REQUEST)])))
    assert.equal(stream.sent[0]?.byteLength, header(ID).byteLength + 1, 'the first write has the header')
  })

  it('sends what it is called alone where somebody reads first', async () => {
    const read = framed.read()
    await once(stream, 'idle')
    assert.ok(stream.output.equals(header(ID)))
    stream.receive([header(ID), frameOf(ANSWER)])
    assert.ok(ANSWER.equals((await read).bytes))
  })

  for (const [how, size] of [
    ['at once', Number.POSITIVE_INFINITY],
    ['byte by byte', 1],
    ['in pieces of 7', 7],
  ] as const) {
    it(`gives what comes behind the confirmation, which comes ${how}`, async () => {
      await framed.write(REQUEST)
      assert.equal(isConfirmed(stream), false)
      const read = framed.read()
      stream.receive(cut(Buffer.concat([header(ID), frameOf(ANSWER)]), () => size))
      assert.ok(ANSWER.equals((await read).bytes))
      assert.equal(isConfirmed(stream), true)
    })
  }

  it('was not taken where the peer does not speak the protocol', async () => {
    await framed.write(REQUEST)
    stream.receive([line('/multistream/1.0.0'), line('na')])
    assert.equal((await failure()).why, 'unsupported')
    assert.equal(stream.status, 'aborted')
  })

  it('was not taken where the peer resets it before it confirms the protocol', async () => {
    await framed.write(REQUEST)
    stream.receive(line('/multistream/1.0.0'))
    stream.onRemoteReset()
    assert.equal((await failure()).why, 'unconfirmed')
  })

  it('was not taken where the peer resets it because it has too many, also once it has confirmed the protocol', async () => {
    await framed.write(REQUEST)
    stream.receive(header(ID))
    noteReset(stream, 0x1002)
    stream.onRemoteReset()
    assert.equal((await failure()).why, 'over limit')
  })

  for (const code of [0, 1, 0x1001]) {
    it(`may have been acted on where the peer resets it behind the confirmation, with code ${code}`, async () => {
      await framed.write(REQUEST)
      stream.receive(header(ID))
      noteReset(stream, code)
      stream.onRemoteReset()
      await assert.rejects(framed.read(), { code: 'REMOTE_FAILED', message: 'the peer reset the stream without sending anything' })
    })
  }

  it('ends with UNREACHABLE where the connection is lost before the peer confirms anything, with REMOTE_FAILED behind that', async () => {
    await framed.write(REQUEST)
    stream.onTransportClosed()
    await assert.rejects(framed.read(), { code: 'UNREACHABLE', message: `the peer closed the connection before it confirmed ${ID}` })
    const other = new TestStream('outbound')
    negotiateLazily(other, ID)
    const confirmed = new FramedStream(other, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
    await confirmed.write(REQUEST)
    other.receive(header(ID))
    other.onTransportClosed()
    await assert.rejects(confirmed.read(), { code: 'REMOTE_FAILED' })
  })

  it('may have been acted on where the peer resets it with that code behind a part of its answer', async () => {
    await framed.write(REQUEST)
    stream.receive([header(ID), frameOf(ANSWER).subarray(0, 3)])
    noteReset(stream, 0x1002)
    stream.onRemoteReset()
    await assert.rejects(framed.read(), { code: 'REMOTE_FAILED', message: 'the peer reset the stream after 2 of 6 bytes of a frame' })
  })

  for (const [what, said] of [
    ['nothing', []],
    ['a part of the confirmation', [header(ID).subarray(0, -1)]],
  ] as const) {
    for (const finished of [false, true]) {
      it(`has no answers, not even none, where the peer ends it behind ${what}, ${finished ? 'both sides closed' : 'this side open'}`, async () => {
        await framed.write(REQUEST)
        if (finished) {
          framed.finish()
        }
        stream.receive([...said])
        stream.onRemoteCloseWrite()
        const failure = { code: 'REMOTE_FAILED', message: 'the peer closed the stream without sending anything' }
        await assert.rejects(framed.readOrEnd(), failure)
        await assert.rejects(framed.read(), failure)
      })
    }
  }

  it('has no answers where the peer confirms it and ends it', async () => {
    await framed.write(REQUEST)
    stream.receive(header(ID))
    stream.onRemoteCloseWrite()
    assert.equal(await framed.readOrEnd(), undefined)
  })

  it('may be closed before anything was sent on it', async () => {
    for (const close of [
      (other: TestStream) => other.close(),
      (other: TestStream) => void Object.assign(other, { sendData: cannotSend }),
    ]) {
      const other = new TestStream('outbound')
      negotiateLazily(other, ID)
      await close(other)
      // made later, so over later
      const last = new TestStream('outbound')
      negotiateLazily(last, ID)
      await once(last, 'idle')
      assert.equal(other.output.byteLength, 0)
    }
  })

  for (const [what, said] of [
    ['is no line', Buffer.from([3, 1, 2, 3])],
    ['is another protocol', Buffer.concat([line('/multistream/1.0.0'), line('/other/1.0.0')])],
    ['is another multistream', line('/multistream/2.0.0')],
    ['is too long', Buffer.from([0xff, 0xff, 0xff, 0xff, 1])],
    ['is a line of 2 KiB', line('x'.repeat(2_048))],
    ['is "na" before the header', line('na')],
  ] as const) {
    it(`breaks where the answer ${what}`, async () => {
      await framed.write(REQUEST)
      stream.receive(said)
      await assert.rejects(framed.read(), { code: 'REMOTE_FAILED', message: /^the peer answered (the|a) negotiation/ })
      assert.equal(stream.status, 'aborted')
    })
  }

  it('is settled once the peer has confirmed the protocol, or the stream has ended', async () => {
    let isSettled = false
    const waiting = settled(stream).then(() => {
      isSettled = true
    })
    await turn()
    assert.equal(isSettled, false)
    stream.receive(header(ID))
    await waiting
    await settled(stream)
    const other = new TestStream('outbound')
    negotiateLazily(other, ID)
    const ended = settled(other)
    other.abort(new Error('the test'))
    await ended
  })
})

describe('a call whose connection is lost before the peer confirms the protocol', () => {
  const text = 'the request'
  const kept = `${ID}/pipelined`

  /** A call to a peer that has got this of it when the connection is lost: the whole request, or nothing. */
  async function lostAt(sent: 'the request' | 'nothing', protocolId: string): Promise<ProtocolError> {
    const [client, server] = await Promise.all([MemoryHost.create(), MemoryHost.create()])
    client.link(server)
    const stream = new TestStream('outbound')
    client.open = async () => {
      negotiateLazily(stream, protocolId)
      if (sent === 'nothing') {
        stream.shutWindow()
      }
      return stream
    }
    const failed = failure(new TextProtocol(client, ID).call(server.peerId, text))
    await eventually(() => (sent === 'nothing' ? stream.writeBufferLength > 0 : stream.output.includes(text)), `it has sent ${sent}`)
    stream.onTransportClosed()
    return failed
  }

  for (const [way, protocolId] of [
    ['of its own', ID],
    ['that all share', kept],
  ] as const) {
    it(`failed at the peer, which may have acted, where the request had left on a stream ${way}`, async () => {
      const error = await lostAt('the request', protocolId)
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      assert.match(error.message, /^the peer closed the connection before it confirmed \S+; the peer may have acted on the request$/)
    })
  }

  it('did not reach it where nothing had left', async () => {
    assert.deepEqual(verdict(await lostAt('nothing', ID)), { code: 'UNREACHABLE', phase: 'send', mayHaveActed: false })
  })
})
