import assert from 'node:assert/strict'
import { once } from 'node:events'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { IdentifyResult, Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { TaskRequestSchema, TaskResponseSchema } from '../../../src/gen/task_protocol_pb.ts'
import type { SubnetNode } from '../../../src/index.ts'
import { parsePeerTarget } from '../../../src/primitives/address.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { CURVES, EcdsaIdentity, OtherStacks } from '../../support/other-stacks.ts'

const PUSH_PROTOCOL = '/ipfs/id/push/1.0.0'
const TASK_PROTOCOL = '/subnet/task_protocol/1.0.0'
const echo = ({ payload }: { payload: Uint8Array }): Uint8Array => payload

/** Answers one task with its own payload. */
async function answerTask(stream: Stream): Promise<void> {
  const messages = lpStream(stream)
  const { payload } = fromBinary(TaskRequestSchema, (await messages.read()).subarray())
  await messages.write(toBinary(TaskResponseSchema, create(TaskResponseSchema, { accepted: true, result: payload })))
  await stream.close()
}

describe('a peer with an ECDSA key', () => {
  const stacks = new OtherStacks()
  const lab = new Lab()
  let node: SubnetNode

  beforeEach(async () => {
    node = await lab.node({ handler: echo })
  })

  afterEach(async () => {
    await stacks.stop()
    await lab.clean()
  })

  for (const curve of CURVES) {
    it(`is dialled, and answers a task: ${curve}`, async () => {
      const identity = new EcdsaIdentity(curve)
      const stack = await stacks.start(identity.options())
      await stack.handle(TASK_PROTOCOL, answerTask)
      const { accepted, result } = await node.tasks.sendTask(stacks.addressOf(stack, identity.peerId), 'a', Buffer.from('payload'))
      assert.deepEqual([accepted, Buffer.from(result).toString()], [true, 'payload'])
      assert.deepEqual(
        node.connections.map(({ remotePeer }) => remotePeer.toString()),
        [identity.peerId],
      )
    })

    it(`dials, and is served: ${curve}`, async () => {
      const identity = new EcdsaIdentity(curve)
      const stack = await stacks.start({ ...identity.options(), services: { ping: ping() } })
      const connected = event(node, 'peer:connect')
      const task = event(node, 'task')
      const messages = lpStream(await stack.dialProtocol(multiaddr(addressOf(node)), TASK_PROTOCOL))
      const request = create(TaskRequestSchema, { taskId: 'a', payload: Buffer.from('payload') })
      await messages.write(toBinary(TaskRequestSchema, request))
      const { accepted, result } = fromBinary(TaskResponseSchema, (await messages.read()).subarray())
      assert.deepEqual([accepted, Buffer.from(result).toString()], [true, 'payload'])
      assert.deepEqual([(await connected).peerId, (await task).peerId], [identity.peerId, identity.peerId])
    })
  }

  it('is known by what it tells of itself, when it was dialled and when it dials', async () => {
    for (const dials of [false, true]) {
      const identity = new EcdsaIdentity('P-256')
      const stack = await stacks.start(identity.options())
      await identity.answerIdentify(stack, 'other/1', [TASK_PROTOCOL])
      const connected = event(node, 'peer:connect', (detail) => detail.peerId === identity.peerId)
      await (dials ? stack.dial(multiaddr(addressOf(node))) : node.connect(stacks.addressOf(stack, identity.peerId)))
      await connected
      const [connection] = node.connections.filter(({ remotePeer }) => remotePeer.toString() === identity.peerId)
      assert.ok(connection != null)
      assert.ok((await node.protocolsOf(connection.remotePeer)).includes(TASK_PROTOCOL))
      const known = (await node.peers()).find(({ peerId }) => peerId.toString() === identity.peerId)
      assert.equal(known?.agent, 'other/1')
    }
  })

  it('is heard when it tells of a change', async () => {
    const identity = new EcdsaIdentity('P-256')
    const [ours, stack] = [await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] }), await stacks.start(identity.options())]
    const push = await stack.dialProtocol(stacks.addressOf(ours), PUSH_PROTOCOL)
    const identified = once(ours as unknown as EventTarget, 'peer:identify')
    push.send(identity.identifyMessage(stack, 'other/2', [TASK_PROTOCOL, '/another/1.0.0']))
    await push.close()
    const [{ detail }] = (await identified) as [CustomEvent<IdentifyResult>]
    assert.equal(detail.peerId.toString(), identity.peerId)
    assert.deepEqual((await ours.peerStore.get(detail.peerId)).protocols.toSorted(), ['/another/1.0.0', TASK_PROTOCOL])
  })

  it('has an ID like any other: for aliases, and once connected to be found and called by it', async () => {
    const identity = new EcdsaIdentity('P-256')
    const stack = await stacks.start(identity.options())
    await stack.handle(TASK_PROTOCOL, answerTask)
    const { peerId } = parsePeerTarget(identity.peerId)
    await node.aliases.set('go', peerId)
    assert.deepEqual(
      node.aliases.list().map((alias) => alias.peerId.toString()),
      [identity.peerId],
    )
    await node.connect(stacks.addressOf(stack, identity.peerId))
    const { multiaddrs } = await node.resolve(peerId)
    assert.deepEqual(multiaddrs.map(String), [stacks.addressOf(stack, identity.peerId).toString()])
    assert.equal((await node.tasks.sendTask(peerId, 'a', Buffer.from('payload'))).accepted, true)
    assert.equal(parsePeerTarget(peerId.toCID().toString()).peerId.toString(), identity.peerId)
  })

  for (const [title, proof] of [
    ['without the signature of its key', { forged: true }],
    ['with the signature that it gave in another handshake', { replayed: true }],
  ] as const) {
    it(`is not believed ${title}`, async () => {
      const identity = new EcdsaIdentity('P-256')
      const stack = await stacks.start(identity.options(proof))
      await assert.rejects(node.connect(stacks.addressOf(stack, identity.peerId)), (error: Error) => {
        assert.ok(error.message.endsWith(`: the peer did not prove that it is ${identity.peerId}`), error.message)
        return true
      })
      await assert.rejects(async () => {
        const connection = await stack.dial(multiaddr(addressOf(node)))
        await (connection.status === 'open' ? once(connection as unknown as EventTarget, 'close') : undefined)
        throw new Error('closed')
      })
      assert.deepEqual(node.connections, [])
    })
  }

  for (const [title, identity] of [
    ['of another form', () => new EcdsaIdentity('P-256', () => Buffer.from('no key'))],
    ['on another curve', () => new EcdsaIdentity('secp256k1')],
  ] as const) {
    it(`${title} is refused in words: the ECDSA key of the peer cannot be read`, async () => {
      const stack = await stacks.start(identity().options())
      await assert.rejects(node.connect(stacks.addressOf(stack, identity().peerId)), (error: Error & { hint?: string }) => {
        assert.match(error.message, /: the ECDSA key of the peer cannot be read/)
        assert.match(error.hint ?? '', /^the peer runs, but this node reads only ed25519/)
        return true
      })
    })
  }
})
