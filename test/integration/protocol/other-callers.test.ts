import assert from 'node:assert/strict'
import { TestHost, TextProtocol, TextStreamProtocol } from '../../support/protocol-host.ts'
import { header, RawCaller, type Shape } from '../../support/raw-caller.ts'
import { frameOf } from '../../support/streams.ts'
import { freshId } from '../../support/two-hosts.ts'

const KIB = 1_024
const MIB = KIB * KIB

describe('a caller of another stack', () => {
  let server: TestHost
  let caller: RawCaller

  before(async () => {
    server = await TestHost.start()
    caller = await RawCaller.start()
  })

  after(async () => {
    await Promise.all([caller.stop(), server.stop()])
  })

  async function ask(id: string, request: Uint8Array[], shape: Shape, ending: 'half-close' | 'open'): Promise<Buffer> {
    const heard = await caller.say(server.libp2p.getMultiaddrs(), [header(id), ...request], shape, ending)
    assert.ok(heard.subarray(0, header(id).byteLength).equals(header(id)), 'the protocol is confirmed')
    return heard.subarray(header(id).byteLength)
  }

  const shapes: Array<[shape: Shape, ending: 'half-close' | 'open', maxBytes: number]> = [
    ['one write', 'half-close', 16 * MIB],
    ['one write', 'open', 16 * MIB],
    ['by lines', 'half-close', 16 * MIB],
    ['by lines', 'open', 16 * MIB],
    ['byte by byte', 'half-close', 1 * KIB],
    ['byte by byte', 'open', 1 * KIB],
    ['the end in the data frame', 'half-close', 64 * KIB],
  ]
  for (const [shape, ending, maxBytes] of shapes) {
    for (const size of [0, 1, 127, 128, KIB, 64 * KIB, MIB, 16 * MIB].filter((bytes) => bytes <= maxBytes)) {
      it(`is answered: ${size} bytes, ${shape}, ${ending}`, async () => {
        const id = freshId()
        await new TextProtocol(server, id).ready
        const request = frameOf(Buffer.alloc(size, 'x'))
        assert.ok((await ask(id, [request], shape, ending)).equals(request))
      })
    }

    it(`gets all answers of a stream: ${shape}, ${ending}`, async () => {
      const id = freshId()
      await new TextStreamProtocol(server, id).ready
      const answers = await ask(id, [frameOf(Buffer.from('one two three'))], shape, ending)
      assert.equal(answers.toString(), ['one', 'two', 'three'].map((word) => frameOf(Buffer.from(word)).toString()).join(''))
    })
  }
})
