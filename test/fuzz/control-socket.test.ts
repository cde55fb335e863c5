import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { homeAt } from '../../src/node/home/home.ts'
import { loadSettings } from '../../src/node/home/load-settings.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { socketPath } from '../../src/session/control/control-socket.ts'
import { type RunningNode, serve } from '../../src/session/serve.ts'
import { fuzz } from '../support/fuzzing.ts'
import { mutated } from '../support/mutations.ts'
import { Lab } from '../support/nodes.ts'

const SERVICE = '/subnet.control.v1.ControlService/'
/** Node reads a socket in pieces of 64 KiB. */
const MAX_BUFFER_BYTES = 1 << 20
const RUNS = 1_500

function http1(method: string, type: string, body: string | Buffer): Buffer {
  const head = `POST ${SERVICE}${method} HTTP/1.1\r\nhost: node\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), Buffer.from(body)])
}

/** The preface of HTTP/2, no settings, and the start of a header frame. */
const HTTP2 = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 3, 1, 4, 0, 0, 0, 1, 0x82, 0x84, 0x86]),
])

describe('the control socket, whatever is written to it', function () {
  this.timeout(0)
  const lab = new Lab()
  let served: RunningNode
  let path: string

  before(async () => {
    const home = homeAt(await lab.folder())
    const { settings } = await loadSettings({ flags: { listen: ['/ip4/127.0.0.1/tcp/0'] }, env: {}, home })
    served = await serve({ home, settings, agent: 'test/1.0.0', log: createLogger('error', () => undefined) })
    path = socketPath(home)
  })

  after(async () => {
    await served.stop()
    await lab.clean()
  })

  it('answers, or closes the connection, and goes on to serve others', async () => {
    const valid = [
      http1('Status', 'application/json', '{}'),
      http1('Status', 'application/proto', Buffer.from([])),
      http1('Resolve', 'application/json', '{"peer":"x","timeoutMs":5}'),
      http1('SendTask', 'application/connect+json', Buffer.from([0, 0, 0, 0, 2, 0x7b, 0x7d])),
      HTTP2,
    ]
    const bytes = fc.oneof(
      { weight: 6, arbitrary: mutated(fc.constantFrom(...valid)) },
      { weight: 1, arbitrary: fc.constantFrom(...valid) },
      { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 200 }) },
    )
    let tried = 0
    await fuzz(bytes, { runs: RUNS, target: 'control socket' }, MAX_BUFFER_BYTES, async (sent) => {
      const socket = connect(path)
      const closed = once(socket, 'close')
      socket.on('error', () => undefined).resume()
      socket.end(sent)
      await closed
      if (++tried % 100 === 0) {
        assert.equal(await healthy(path), 200)
      }
    })
  })
})

async function healthy(path: string): Promise<number | undefined> {
  const call = request({ socketPath: path, path: `${SERVICE}Status`, method: 'POST', headers: { 'content-type': 'application/json' } })
  call.end('{}')
  const [response] = await once(call, 'response')
  response.resume()
  return response.statusCode
}
