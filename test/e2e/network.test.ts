import assert from 'node:assert/strict'
import { once } from 'node:events'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions } from 'libp2p'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'
import { OtherStacks } from '../support/other-stacks.ts'
import { templatePeer } from '../support/template-peer.ts'

/** A TaskResponse: `{accepted: true}`. */
const ACCEPTED = Uint8Array.of(0x08, 0x01)

interface Status {
  network: string
  notices: string[]
}

describe('the network of a node', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let home: string
  let node: RunningNode

  before(async () => {
    home = await cli.home()
    node = await cli.start(home, ['--network', 'template'])
  })

  after(async () => cli.clean())

  it('is shown by status and config, and is native unless one says otherwise', async () => {
    const { network, notices } = await cli.json<Status>(home, ['status'])
    assert.deepEqual([network, notices], ['template', []])
    assert.match((await cli.run(home, ['status'])).stdout, /, network template,/)
    const { settings } = await cli.json<{ settings: Record<string, unknown> }>(await cli.home(), ['config'])
    assert.deepEqual(settings['network'], { value: 'native', source: 'default' })
    const env = { SUBNET_NETWORK: 'template' }
    const { settings: told } = await cli.json<{ settings: Record<string, unknown> }>(await cli.home(), ['config'], { env })
    assert.deepEqual(told['network'], { value: 'template', source: 'env' })
  })

  it('cannot be another than that of the node that runs', async () => {
    const same = await cli.run(home, ['peers', '--network', 'template', '--json'])
    assert.equal(same.code, 0)
    const other = await cli.run(home, ['peers', '--network', 'native', '--json'])
    assert.equal(other.code, 2)
    assert.match(jsonError(other).message, /^--network: the node that runs in .* has template, not native$/)
  })

  it('is one of two', async () => {
    const { code, stdout, stderr } = await cli.run(await cli.home(), ['peers', '--network', 'python'])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^error: --network: "python" is not valid; expected one of native, template$/m)
  })

  describe('of the template', () => {
    const stacks = new OtherStacks()

    after(async () => stacks.stop())

    it('has its own DHT: a command finds and calls a peer by its ID, by way of a bootnode', async () => {
      const services = {
        identify: identify(),
        ping: ping(),
        dht: kadDHT({ protocol: '/ipfs/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper }),
      } as unknown as NonNullable<Libp2pOptions['services']>
      const bootnode = await templatePeer(stacks, { services })
      await bootnode.stack.handle(['/meshsub/2.0.0', '/subnet/merkle_dag_sync_protocol/1.0.0'], (stream) =>
        stream.abort(new Error('not here')),
      )
      const peer = await templatePeer(stacks, { services })
      await peer.stack.handle('/subnet/task_protocol/1.0.0', async (stream) => {
        const frames = lpStream(stream)
        await frames.read()
        await frames.write(ACCEPTED)
        await stream.close()
      })
      // the routing table takes whom identify told of
      const entered = once(bootnode.stack.services['dht'] as EventTarget, 'peer', { signal: AbortSignal.timeout(20_000) })
      await peer.stack.dial(multiaddr(bootnode.address))
      await entered
      const flags = ['--bootstrap', bootnode.address]
      const answer = await cli.json(await cli.home(), [
        'send-task',
        peer.stack.peerId.toString(),
        '--text',
        'x',
        '--network',
        'template',
        ...flags,
      ])
      assert.equal(answer['accepted'], true)
      // the DHT's first look around may have led to it already
      assert.match(String(answer['source']), /^(neighbour|connected)$/)
      const home = await cli.home({ network: 'template', bootstrap: [bootnode.address] })
      const found = await cli.json(home, ['resolve', peer.stack.peerId.toString()])
      assert.deepEqual([found['multiaddrs'], found['verified']], [[peer.address], true])
      const native = await cli.run(await cli.home(), ['resolve', peer.stack.peerId.toString(), ...flags, '--json'])
      assert.equal(native.code, 3, native.stdout)
      assert.match(jsonError(native).hint ?? '', /--network template/)
    })
  })

  it('does not keep a node from peers of the other', async () => {
    const { stdout, code } = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'hello', '--json'])
    assert.equal(code, 7)
    assert.equal(JSON.parse(stdout).accepted, false)
  })
})
