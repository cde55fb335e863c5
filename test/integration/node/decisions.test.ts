import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { AddressAnswerSchema, AddressQuerySchema } from '../../../src/gen/subnet/address/v1/address_pb.ts'
import { type Destination, type PeerId, ProtobufProtocol, type ProtocolHost, type SubnetNode } from '../../../src/index.ts'
import { ADDRESS_PROTOCOL_ID } from '../../../src/protocol/builtin/address.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'
import { OneAtATime } from '../../support/one-at-a-time.ts'
import { type Told, ToldLog } from '../../support/told-log.ts'

const TASKS = '/subnet/task_protocol/1.0.0'

/** Asks as no node of this package does: the same query twice. */
class AddressAsker extends ProtobufProtocol<typeof AddressQuerySchema, typeof AddressAnswerSchema> {
  constructor(host: ProtocolHost) {
    super(host, { id: ADDRESS_PROTOCOL_ID, request: AddressQuerySchema, response: AddressAnswerSchema, serve: false })
  }

  async ask(to: Destination, query: MessageInitShape<typeof AddressQuerySchema>): Promise<unknown> {
    return this.callRemote(to, query)
  }

  protected override async handleRequest(): Promise<never> {
    throw new Error('serves nothing')
  }
}

/** A line of the log about one peer, without what differs from run to run. */
function about(line: Told, { peerId }: { peerId: PeerId }): Told {
  assert.equal(line['peer'], peerId.toString())
  const { peer: _, call, ms, ...rest } = line
  assert.ok(call === undefined || Number.isSafeInteger(call))
  assert.ok(ms === undefined || Number.isSafeInteger(ms))
  return rest
}

describe('a debug log has a line, with its reason, of', function () {
  this.timeout(30_000)
  const lab = new Lab()

  afterEach(async () => lab.clean())

  async function logged(options: Parameters<Lab['node']>[0] = {}): Promise<{ node: SubnetNode; told: ToldLog }> {
    const told = new ToldLog()
    return { node: await lab.node({ log: told.log, ...options }), told }
  }

  it('a task that is rejected, by its handler', async () => {
    const refuse = (): never => {
      throw new Error('out of paint')
    }
    const [{ node, told }, caller] = [await logged({ handler: refuse }), await lab.node()]
    await caller.tasks.sendTask(addressOf(node), 'paint', new Uint8Array(1))
    const line = await told.first({ message: 'a task was rejected' })
    const said = { level: 'info', scope: 'subnet:call', message: 'a task was rejected' }
    const expected = { ...said, reason: 'out of paint', rejection: 'handler-failed' }
    const { stack, ...rest } = about(line, caller)
    assert.deepEqual(rest, { ...expected, protocol: TASKS, task: 'paint' })
    // the line of the handler, for its author
    assert.match(String(stack), /^at refuse \(.*decisions\.test\.ts:\d+:\d+\) at /)
    assert.ok(Number.isSafeInteger(line['call']))
  })

  it('a task that is rejected for want of a handler, and one by an allowlist', async () => {
    const caller = await lab.node()
    const [bare, closed] = [
      await logged(),
      await logged({ handler: () => '', settings: { denyPeers: [caller.peerId.toString()] } } as never),
    ]
    for (const { node } of [bare, closed]) {
      await caller.tasks.sendTask(addressOf(node), 't', new Uint8Array(1))
    }
    const reasons = [bare, closed].map(async ({ told }) => (await told.first({ message: 'a task was rejected' })).reason)
    assert.deepEqual(await Promise.all(reasons), ['this node has no task handler', `this node does not take requests of ${caller.peerId}`])
  })

  it('a request that meets a limit, and the call that fails of it', async () => {
    const [{ node, told }, caller] = [await logged(), await logged()]
    const [serving, calling] = [new OneAtATime(node), new OneAtATime(caller.node)]
    await serving.ready
    const first = calling.call(addressOf(node))
    await serving.asked
    await assert.rejects(calling.call(node.peerId), { code: 'LIMIT_EXCEEDED' })
    serving.answer()
    await first
    const refused = await told.first({ message: 'a request was refused' })
    assert.deepEqual(about(refused, caller.node), {
      ...{ level: 'debug', scope: 'subnet:call', message: 'a request was refused', reason: 'more than 1 requests at a time' },
      ...{ protocol: OneAtATime.id, limit: 1 },
    })
    const failed = await caller.told.first({ message: 'a call failed' })
    const { reason, ...rest } = about(failed, node)
    assert.equal(reason, 'the peer handles no more than 1 requests at a time')
    assert.deepEqual(rest, { level: 'debug', scope: 'subnet:call', message: 'a call failed', protocol: OneAtATime.id, step: 'wait' })
  })

  it('a request that is answered', async () => {
    const [{ node, told }, caller] = [await logged({ handler: ({ payload }) => payload }), await lab.node()]
    await caller.tasks.sendTask(addressOf(node), 'paint', new Uint8Array(1))
    const line = await told.first({ message: 'a request was answered', protocol: TASKS })
    assert.ok(Number.isSafeInteger(line['call']) && Number.isSafeInteger(line['ms']))
    assert.deepEqual(about(line, caller), { level: 'debug', scope: 'subnet:call', message: 'a request was answered', protocol: TASKS })
  })

  it('an address query that is refused', async () => {
    const [{ node, told }, caller] = [await logged(), await lab.node()]
    const asker = new AddressAsker(caller)
    const query = { queryId: randomBytes(16), peerId: (await newPeer()).peerId.toMultihash().bytes, hops: 1, deadlineMs: 1_000 }
    await asker.ask(addressOf(node), query)
    await asker.ask(addressOf(node), query)
    assert.deepEqual(about(await told.first({ message: 'an address query was refused' }), caller), {
      ...{ level: 'debug', scope: 'subnet:call', message: 'an address query was refused', reason: 'repeated query ID' },
      protocol: ADDRESS_PROTOCOL_ID,
    })
  })

  it('a request that ends without an answer', async () => {
    const [{ node, told }, caller] = [await logged(), await lab.node()]
    const serving = new OneAtATime(node)
    await serving.ready
    const running = new OneAtATime(caller).call(addressOf(node), { timeoutMs: 60_000 })
    await serving.asked
    await Promise.all([assert.rejects(running), serving.stop()])
    serving.answer()
    const { reason, ...line } = about(await told.first({ message: 'a request ended without an answer' }), caller)
    assert.ok(reason != null && reason !== '')
    assert.deepEqual(line, { level: 'debug', scope: 'subnet:call', message: 'a request ended without an answer', protocol: OneAtATime.id })
  })

  it('a tier that was asked and missed, that answered, and that was skipped', async () => {
    const worker = await lab.node({ handler: ({ payload }) => payload })
    const { node, told } = await logged({ settings: { bootstrap: [addressOf(worker)] } })
    await heartbeats(node, worker, 1)
    const nobody = (await newPeer()).peerId
    await assert.rejects(node.resolve(nobody, { tiers: ['gossip'] }), { code: 'PEER_NOT_FOUND' })
    const missed = about(await told.first({ outcome: 'miss', tier: 'gossip' }), { peerId: nobody })
    const expected = { level: 'debug', scope: 'subnet:resolve', message: 'a tier was asked' }
    assert.deepEqual(missed, { ...expected, reason: 'not known', tier: 'gossip', outcome: 'miss' })
    await node.resolve(worker.peerId, { tiers: ['gossip'] })
    const { reason, ...hit } = about(await told.first({ outcome: 'hit' }), worker)
    assert.ok(reason != null && reason !== '')
    assert.deepEqual(hit, { ...expected, tier: 'gossip', outcome: 'hit' })
    const skipped = about(await told.first({ outcome: 'skipped', tier: 'chain', peer: worker.peerId.toString() }), worker)
    assert.deepEqual(skipped, {
      ...{ ...expected, message: 'a tier was skipped', reason: 'not asked for' },
      ...{ tier: 'chain', outcome: 'skipped' },
    })
  })

  it('an address that is dialled: connected, refused, not allowed', async () => {
    const worker = await lab.node()
    const { node, told } = await logged()
    const nobody = (await newPeer()).peerId
    await assert.rejects(node.tasks.sendTask(`/ip4/127.0.0.1/tcp/1/p2p/${nobody}`, 't', new Uint8Array(1)))
    await node.tasks.sendTask(addressOf(worker), 't', new Uint8Array(1))
    const expected = { level: 'debug', scope: 'subnet:dial', message: 'an address was dialled' }
    const { reason, ...refused } = about(await told.first({ outcome: 'refused' }), { peerId: nobody })
    assert.match(reason ?? '', /ECONNREFUSED/)
    assert.deepEqual(refused, { ...expected, address: `/ip4/127.0.0.1/tcp/1/p2p/${nobody}`, outcome: 'refused' })
    const connected = about(await told.first({ outcome: 'connected' }), worker)
    assert.deepEqual(connected, { ...expected, address: addressOf(worker), outcome: 'connected' })
  })

  it('a peer that is not let in', async () => {
    const chain = `ledger:${join(await lab.folder(), 'shared.db')}`
    const [{ node, told }, stranger] = [await logged({ settings: { chain, admission: 'registered' } }), await lab.node()]
    await assert.rejects(stranger.tasks.sendTask(addressOf(node), 't', new Uint8Array(1)), { code: 'NOT_ADMITTED' })
    const line = about(await told.first({ message: 'a peer is not admitted', peer: stranger.peerId.toString() }), stranger)
    assert.deepEqual(line, {
      ...{ level: 'debug', scope: 'subnet:admission', message: 'a peer is not admitted' },
      ...{ reason: `${stranger.peerId} is not registered in subnet 1`, kind: 'not registered' },
    })
  })

  it('a connection that gets no place', async () => {
    const { node, told } = await logged({ settings: { maxConnectionsPerIp: 1 } })
    const [first, second] = [await lab.node(), await lab.node()]
    await first.tasks.sendTask(addressOf(node), 't', new Uint8Array(1))
    await assert.rejects(second.tasks.sendTask(addressOf(node), 't', new Uint8Array(1)))
    const line = await told.first({ message: 'a limit was reached' })
    assert.deepEqual(line, {
      ...{ level: 'debug', scope: 'subnet:admission', message: 'a limit was reached', reason: 'the connection was refused' },
      ...{ host: '127.0.0.1', limit: 'places of a host' },
    })
  })
})
