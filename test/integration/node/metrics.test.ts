import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SubnetNode } from '../../../src/index.ts'
import { Counted } from '../../support/counted.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'
import { OneAtATime } from '../../support/one-at-a-time.ts'
import { eventually } from '../../support/protocol-host.ts'

const TASKS = '/subnet/task_protocol/1.0.0'
const PAYLOAD = Buffer.alloc(100_000)

describe('the numbers of a node', () => {
  const lab = new Lab()
  const [worker, caller] = [new Counted(), new Counted()]
  let node: SubnetNode
  let other: SubnetNode

  before(async () => {
    node = await lab.node({
      metrics: worker,
      handler: ({ taskId, payload }) => {
        if (taskId === 'bad') {
          throw new Error('no such work')
        }
        return payload.subarray(0, 50_000)
      },
    })
    other = await lab.node({ metrics: caller, settings: { bootstrap: [addressOf(node)] } })
    await Promise.all([heartbeats(other, node, 2), heartbeats(node, other, 2)])
  })

  after(async () => lab.clean())

  it('count tasks, calls and their bytes by direction, protocol and outcome, and measure their time', async () => {
    await other.tasks.sendTask(node.peerId, 'good', PAYLOAD)
    await other.tasks.sendTask(node.peerId, 'bad', new Uint8Array(1))
    assert.deepEqual(caller.read('subnet_tasks_total'), { 'outbound accepted': 1, 'outbound rejected': 1 })
    assert.equal(caller.read('subnet_calls_total')[`outbound ${TASKS} ok`], 2)
    assert.equal(caller.read('subnet_call_duration_seconds')[`outbound ${TASKS}`], 2)
    await eventually(() => worker.read('subnet_calls_total')[`inbound ${TASKS} ok`] === 2, 'the worker has counted both requests')
    assert.deepEqual(worker.read('subnet_tasks_total'), { 'inbound accepted': 1, 'inbound rejected': 1 })
    assert.equal(worker.read('subnet_call_duration_seconds')[`inbound ${TASKS}`], 2)
    const [sent, received] = [caller.read('subnet_call_bytes_total'), worker.read('subnet_call_bytes_total')]
    assert.equal(received[`inbound ${TASKS} received`], sent[`outbound ${TASKS} sent`])
    assert.equal(received[`inbound ${TASKS} sent`], sent[`outbound ${TASKS} received`])
    assert.ok((received[`inbound ${TASKS} received`] ?? 0) > PAYLOAD.byteLength)
    assert.ok((received[`inbound ${TASKS} sent`] ?? 0) > 50_000)
  })

  it('count the bytes of a body whose size nobody knows', async () => {
    const before = worker.read('subnet_call_bytes_total')[`inbound ${TASKS} received`] ?? 0
    const chunks = async function* () {
      yield* [PAYLOAD, PAYLOAD, PAYLOAD]
    }
    await other.tasks.sendTask(node.peerId, 'good', { chunks: chunks() })
    await eventually(() => worker.read('subnet_calls_total')[`inbound ${TASKS} ok`] === 3, 'the worker has counted the request')
    const received = (worker.read('subnet_call_bytes_total')[`inbound ${TASKS} received`] ?? 0) - before
    assert.ok(received > 300_000 && received < 301_000, `${received} bytes`)
  })

  it('count a request that meets a limit, and the call that failed of it', async () => {
    const [serving, calling] = [new OneAtATime(node), new OneAtATime(other)]
    await serving.ready
    const first = calling.call(node.peerId)
    await serving.asked
    await assert.rejects(calling.call(node.peerId), { code: 'LIMIT_EXCEEDED' })
    serving.answer()
    await first
    await eventually(() => worker.read('subnet_calls_total')[`inbound ${OneAtATime.id} ok`] === 1, 'the worker has counted the first')
    assert.equal(worker.read('subnet_calls_total')[`inbound ${OneAtATime.id} limit_exceeded`], 1)
    assert.equal(caller.read('subnet_calls_total')[`outbound ${OneAtATime.id} limit_exceeded`], 1)
    assert.equal(caller.read('subnet_calls_total')[`outbound ${OneAtATime.id} ok`], 1)
    assert.equal(worker.read('subnet_call_bytes_total')[`inbound ${OneAtATime.id} received`], 10)
    assert.equal(worker.read('subnet_call_bytes_total')[`inbound ${OneAtATime.id} sent`], 20)
  })

  it('count tiers and dials by outcome', async () => {
    const nobody = (await newPeer()).peerId
    await assert.rejects(other.resolve(nobody, { tiers: ['gossip', 'chain'] }), { code: 'PEER_NOT_FOUND' })
    assert.deepEqual(caller.read('subnet_resolutions_total'), { 'gossip miss': 1, 'neighbour skipped': 1, 'chain miss': 1 })
    assert.deepEqual(caller.read('subnet_resolution_duration_seconds'), { gossip: 1, chain: 1 })
    await assert.rejects(other.tasks.sendTask(`/ip4/127.0.0.1/tcp/1/p2p/${nobody}`, 't', PAYLOAD), { code: 'UNREACHABLE' })
    const dials = caller.read('subnet_dials_total')
    assert.equal(dials['refused'], 1)
    assert.ok((dials['connected'] ?? 0) >= 1)
    assert.equal(caller.read('subnet_calls_total')[`outbound ${TASKS} unreachable`], 1)
  })

  it('count heartbeats, and tell what there is now', () => {
    const beats = caller.read('subnet_heartbeats_total')
    assert.ok((beats['outbound sent'] ?? 0) >= 1 && (beats['inbound accept'] ?? 0) >= 2, JSON.stringify(beats))
    assert.deepEqual(caller.read('subnet_book_peers'), { '': 1 })
    assert.deepEqual(caller.read('subnet_tasks_waiting'), { '': 0 })
    assert.equal(caller.read('subnet_connections')['outbound'], 1)
    assert.ok((caller.read('subnet_kept_streams')['outbound'] ?? 0) >= 1)
    assert.ok((caller.read('subnet_streams')['outbound'] ?? 0) > (caller.read('subnet_kept_streams')['outbound'] ?? 0))
  })

  it('are those that docs/inside.md has in its table', async () => {
    const text = await readFile(join(import.meta.dirname, '../../../docs/inside.md'), 'utf8')
    const [, table = ''] = /\n\| instrument \| labels \| \|\n((?:\|.*\n)+)/.exec(text) ?? []
    const named = [...table.matchAll(/\bsubnet_[a-z_]+/g)].map(([name]) => name)
    assert.deepEqual(named.sort(), [...worker.help.keys()].sort())
  })

  it('have names that Prometheus takes, help, and no peer IDs or addresses as labels', () => {
    for (const [name, help] of caller.help) {
      assert.match(name, /^subnet_[a-z]+(_[a-z]+)*$/)
      assert.match(help, /^[A-Z].{10,}[^.]$/)
    }
    const ids = [node, other].map(({ peerId }) => peerId.toString())
    for (const value of [...worker.values, ...caller.values]) {
      assert.ok(!ids.some((id) => value.includes(id)) && !/\d+\.\d+\.\d+\.\d+/.test(value), value)
    }
  })
})
