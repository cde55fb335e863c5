import assert from 'node:assert/strict'
import { identify } from '@libp2p/identify'
import type { SubnetNode } from '../../../src/index.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const DAG_SYNC = '/subnet/merkle_dag_sync_protocol/1.0.0'
const PAYLOAD = Buffer.from('hello')

describe('networks', () => {
  const lab = new Lab()
  const stacks = new OtherStacks()

  afterEach(async () => {
    await lab.clean()
    await stacks.stop()
  })

  async function templates(): ReturnType<OtherStacks['start']> {
    const stack = await stacks.start({ services: { identify: identify() } })
    await stack.handle([DAG_SYNC, '/meshsub/2.0.0'], (stream) => stream.abort(new Error('not here')))
    return stack
  }

  async function meet(node: SubnetNode, stack: Awaited<ReturnType<typeof templates>>): Promise<void> {
    await node.connect(stacks.addressOf(stack))
    await node.protocolsOf(stack.peerId)
  }

  const cases = [
    { network: 'native', expected: /^12D3Koo.* is a node of Hypertensor's Python template.*--network template[^,]*$/ },
    { network: 'template', expected: /^$/ },
  ] as const
  for (const { network, expected } of cases) {
    it(`are told apart: what a ${network} node that meets the template twice has to say`, async () => {
      const node = await lab.node({ settings: { network } })
      await meet(node, await templates())
      await meet(node, await templates())
      assert.match(node.notices.join(), expected)
    })
  }

  it('are told with the peers: of each that is connected', async () => {
    const node = await lab.node()
    const stack = await templates()
    await meet(node, stack)
    const other = await lab.node({ settings: { bootstrap: [addressOf(node)] } })
    await other.bootstrapped(AbortSignal.timeout(20_000))
    await node.protocolsOf(other.peerId)
    const networks = Object.fromEntries((await node.peers()).map(({ peerId, network }) => [peerId.toString(), network]))
    assert.deepEqual(networks, { [stack.peerId.toString()]: 'template', [other.peerId.toString()]: 'native' })
  })

  it('are named by what to do about a peer that is not found', async () => {
    const node = await lab.idle()
    await node.start()
    await meet(node, await templates())
    const { peerId } = await newPeer()
    await assert.rejects(node.resolve(peerId), (error: Error & { hint?: string }) => /--network template/.test(error.hint ?? ''))
  })

  it('are no hindrance for two nodes of ours, one in each: they hear and call each other', async () => {
    const handler = ({ payload }: { payload: Uint8Array }): Uint8Array => payload
    const native = await lab.node({ handler })
    const template = await lab.node({
      handler,
      settings: { network: 'template', kadProtocol: undefined, bootstrap: [addressOf(native)] },
    })
    const heard = async (node: SubnetNode, other: SubnetNode): Promise<void> => {
      while ((await node.resolve(other.peerId, { tiers: ['gossip'] }).catch(() => undefined)) == null) {
        await new Promise<void>((resolve) => node.once('heartbeat', () => resolve()))
      }
    }
    await Promise.all([heard(native, template), heard(template, native)])
    for (const [from, to] of [
      [native, template],
      [template, native],
    ] as const) {
      const { accepted, result } = await from.tasks.sendTask(to.peerId, 'task', PAYLOAD)
      assert.deepEqual([accepted, Buffer.from(result)], [true, PAYLOAD])
    }
  })
})
