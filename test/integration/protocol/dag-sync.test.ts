import assert from 'node:assert/strict'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const ID = '/subnet/merkle_dag_sync_protocol/1.0.0'
const ASKED_BY = '12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF'
const COMMON = { message_id: 'inventory:a:b:1', namespace: 'general-dag', peer_id: ASKED_BY, created_at_ms: 1_795_895_110_487 }
const INVENTORY = { ...COMMON, kind: 'inventory_request', known_heads: ['sha256:aa'], node_count: 3 }
const FETCH = { ...COMMON, kind: 'fetch_request', node_ids: ['sha256:bb', 'sha256:aa'], include_bodies: true, max_ancestor_depth: 0 }

describe('DAG sync, as the template asks for it', () => {
  let lab: Lab
  let caller: Awaited<ReturnType<OtherStacks['start']>>
  const stacks = new OtherStacks()
  let node: SubnetNode

  before(async () => {
    lab = new Lab()
    node = await lab.node()
    caller = await stacks.start()
  })

  after(async () => {
    await stacks.stop()
    await lab.clean()
  })

  /** One frame each way, and the caller's write side stays open. */
  async function ask(to: SubnetNode, message: Uint8Array): Promise<Record<string, unknown>> {
    const stream = await caller.dialProtocol(multiaddr(addressOf(to)), ID)
    const frames = lpStream(stream, { maxDataLength: 1 << 21 })
    try {
      await frames.write(message)
      return JSON.parse(Buffer.from((await frames.read()).subarray()).toString())
    } finally {
      stream.abort(new Error('done'))
    }
  }
  const asJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

  it('is answered as by a peer with an empty DAG: an inventory', async () => {
    const { created_at_ms: createdAtMs, summary, ...rest } = await ask(node, asJson(INVENTORY))
    const { generated_at_ms: generatedAtMs, ...counts } = summary as Record<string, unknown>
    assert.deepEqual(rest, {
      kind: 'inventory_response',
      message_id: INVENTORY.message_id,
      namespace: INVENTORY.namespace,
      peer_id: node.peerId.toString(),
    })
    assert.deepEqual(counts, { head_ids: [], namespace: INVENTORY.namespace, node_count: 0, orphan_count: 0 })
    for (const atMs of [createdAtMs, generatedAtMs]) {
      assert.ok(Number.isInteger(atMs) && Math.abs(Number(atMs) - Date.now()) < 60_000, 'Unix time in milliseconds')
    }
  })

  it('has none of the nodes that are asked for', async () => {
    const { created_at_ms: _, ...rest } = await ask(node, asJson({ ...FETCH, message_id: 'ü', namespace: 'commit-reveal' }))
    assert.deepEqual(rest, {
      kind: 'fetch_response',
      message_id: 'ü',
      namespace: 'commit-reveal',
      peer_id: node.peerId.toString(),
      nodes: [],
      not_found: FETCH.node_ids,
    })
  })

  const bad: Array<{ name: string; message: Uint8Array }> = [
    { name: 'no JSON', message: Buffer.from('{') },
    { name: 'null', message: asJson(null) },
    { name: 'another kind', message: asJson({ ...INVENTORY, kind: 'announcement' }) },
    { name: 'no message_id', message: asJson({ ...INVENTORY, message_id: undefined }) },
    { name: 'node_ids that are no list', message: asJson({ ...FETCH, node_ids: 'sha256:aa' }) },
    { name: 'node_ids that are no texts', message: asJson({ ...FETCH, node_ids: [{}] }) },
    { name: 'more than 1 MiB', message: asJson({ ...INVENTORY, known_heads: ['x'.repeat(1 << 20)] }) },
    { name: 'JSON that is nested 500,000 deep', message: Buffer.from('['.repeat(500_000)) },
  ]
  for (const { name, message } of bad) {
    it(`is not answered, and hurts nothing: ${name}`, async () => {
      await assert.rejects(ask(node, message))
      assert.equal((await ask(node, asJson(INVENTORY)))['kind'], 'inventory_response')
    })
  }

  it('is answered for a peer whose requests are not, too: the connection stays open, so the peer waits for it', async () => {
    const denying = await lab.node({ settings: { denyPeers: [caller.peerId.toString()] } })
    assert.equal((await ask(denying, asJson(INVENTORY)))['kind'], 'inventory_response')
    await assert.rejects(
      caller.dialProtocol(multiaddr(addressOf(denying)), '/subnet/reflection/1.0.0').then(async (stream) => lpStream(stream).read()),
    )
  })

  it('is answered by a node that only asks, too: whoever it called may wait for its answer', async () => {
    const asking = await lab.idle()
    await asking.start()
    const peer = await stacks.start()
    const connected = Promise.withResolvers<void>()
    peer.addEventListener('peer:connect', () => connected.resolve(), { once: true })
    await asking.connect(stacks.addressOf(peer))
    await connected.promise
    const stream = await peer.dialProtocol(asking.peerId, ID)
    const frames = lpStream(stream)
    await frames.write(asJson(INVENTORY))
    assert.equal(JSON.parse(Buffer.from((await frames.read()).subarray()).toString()).peer_id, asking.peerId.toString())
    stream.abort(new Error('done'))
  })
})
