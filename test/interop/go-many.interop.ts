import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { ProtocolError, SubnetNode } from '../../src/index.ts'
import { Cli } from '../support/cli.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import { streamsClosed } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

/** How many calls ended so, by the text of each failure. */
interface Calls {
  [text: string]: unknown
  answered: number
  errors: Record<string, number>
}

/** Makes `count` calls, `atOnce` of them at a time; gives the failures. */
async function sendAll(node: SubnetNode, peer: ForeignPeer, count: number, atOnce: number): Promise<ProtocolError[]> {
  const failures: ProtocolError[] = []
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < count) {
      const payload = randomBytes(1 + (next++ % 1_000))
      try {
        const { result } = await node.tasks.sendTask(multiaddr(peer.address), `task ${next}`, payload, { timeoutMs: 30_000 })
        assert.ok(payload.equals(result))
      } catch (error) {
        failures.push(error as ProtocolError)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, caller))
  return failures
}

/** What the failures say, to see in an error. */
function texts(failures: Error[]): string[] {
  return [...new Set(failures.map(String))]
}

describe('a Go peer with the limits that go-libp2p has', function () {
  this.timeout(120_000)
  const lab = new Lab()
  const go = new GoLab()
  const cli = new Cli()
  let node: SubnetNode
  let peer: ForeignPeer

  beforeEach(async () => {
    node = await lab.node({ handler: ({ payload }) => payload })
    peer = await go.peer({ tasks: true })
  })

  afterEach(async () => {
    await cli.clean()
    await go.clean()
    await lab.clean()
  })

  for (const [count, atOnce] of [
    [64, 64],
    [128, 128],
    [640, 128],
  ] as const) {
    it(`answers ${count} tasks, asked ${atOnce} at a time`, async () => {
      const failures = await sendAll(node, peer, count, atOnce)
      assert.deepEqual([failures.length, texts(failures)], [0, []], JSON.stringify(await peer.do('blocked')))
      assert.deepEqual(await peer.do('count'), { requests: count })
      assert.equal(node.connections.length, 1)
    })
  }

  it('answers a batch of 640 tasks at 128 at a time, from the command line', async () => {
    const home = await cli.home()
    const batch = join(home, 'tasks.ndjson')
    await writeFile(batch, Array.from({ length: 640 }, (_, index) => `${JSON.stringify({ text: `text ${index}` })}\n`).join(''))
    const outcome = await cli.run(home, ['send-task', peer.address, '--batch', batch, '--concurrency', '128', '--json'])
    assert.equal(outcome.code, 0, outcome.stderr)
    assert.equal(outcome.stdout.match(/"accepted":true/g)?.length, 640)
    assert.deepEqual(await peer.do('count'), { requests: 640 })
  })

  for (const atOnce of [64, 128]) {
    for (const how of ['half-close', 'open']) {
      it(`asks ${atOnce} things at once (${how}), and gets each answer`, async () => {
        const me = node.peerId.toString()
        await peer.do('dial', { address: addressOf(node) })
        const { answered, errors } = await peer.do<Calls>('calls', { peer: me, how, count: atOnce, atOnce, size: 1_000 })
        assert.deepEqual({ answered, errors }, { answered: atOnce, errors: {} })
        await streamsClosed(node)
      })
    }
  }

  it('asks 1,000 things, 16 at a time, and leaves no stream', async () => {
    const me = node.peerId.toString()
    await peer.do('dial', { address: addressOf(node) })
    const { answered, errors } = await peer.do<Calls>('calls', { peer: me, how: 'half-close', count: 1_000, atOnce: 16, size: 64 })
    assert.deepEqual({ answered, errors }, { answered: 1_000, errors: {} })
    await streamsClosed(node)
    assert.equal(node.connections.length, 1)
  })
})

describe('a Go peer that takes 8 streams of a protocol at a time', function () {
  this.timeout(120_000)
  const lab = new Lab()
  const go = new GoLab()

  after(async () => {
    await go.clean()
    await lab.clean()
  })

  it('acts on each of 300 tasks at most once; what was reset says so, and fits in the end', async () => {
    const node = await lab.node()
    const peer = await go.peer({ tasks: true, streams: 8 })
    const count = 300
    const failures = await sendAll(node, peer, count, 64)
    for (const error of failures) {
      assert.match(error.message, /reset/)
    }
    assert.deepEqual(await peer.do('count'), { requests: count - failures.length })
    // fewer are asked at a time after a reset: the first wave loses some, not the most of all
    assert.ok(failures.length <= count / 2, `${failures.length} of ${count} failed: ${texts(failures).join('; ')}`)
  })
})
