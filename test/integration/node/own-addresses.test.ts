import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { on, once } from 'node:events'
import { createServer } from 'node:net'
import type { IdentifyResult, Libp2p } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { CreateNodeOptions, SubnetNode } from '../../../src/index.ts'
import { createLibp2p, type Services, startLibp2p } from '../../../src/node/stack/create-libp2p.ts'
import { walkTo } from '../../../src/node/stack/kademlia-walk.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { stayHere } from '../../support/stay-here.ts'

const LOOPBACK = ['127.0.0.1', '::1']
const PUBLIC = '45.79.0.1'
const PUBLIC_6 = '2600:3c00::1'
const PRIVATE = '10.0.0.7'
const UNIQUE_LOCAL = 'fd00::7'
const LINK_LOCAL = ['169.254.7.7', 'fe80::7']

/** The interfaces of a machine that a test makes up; they may change. */
class Machine {
  addresses: string[]
  /** Called where its interfaces cannot be read. */
  failing: (() => void) | undefined

  constructor(...addresses: string[]) {
    this.addresses = addresses
  }

  readonly networkInterfaces = (): ReturnType<NonNullable<CreateNodeOptions['networkInterfaces']>> => {
    if (this.failing != null) {
      this.failing()
      throw new Error('EMFILE: too many open files')
    }
    const e0 = this.addresses.map((address) => {
      const common = { address, mac: '00:00:00:00:00:00', internal: LOOPBACK.includes(address), cidr: null }
      return address.includes(':')
        ? { ...common, family: 'IPv6' as const, netmask: 'ffff:ffff:ffff:ffff::', scopeid: 0 }
        : { ...common, family: 'IPv4' as const, netmask: '255.255.255.0' }
    })
    return { e0 }
  }
}

async function hasIPv6(): Promise<boolean> {
  const server = createServer().listen({ port: 0, host: '::', ipv6Only: true })
  return once(server, 'listening').then(
    () => Boolean(server.close()),
    () => false,
  )
}

/** A place without its port and its peer. */
function hostOf(address: Multiaddr | string): string {
  return multiaddr(address.toString()).getComponents()[0]?.value ?? ''
}

describe('the addresses that a node tells of itself', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const stacks: Array<Libp2p<Services>> = []
  const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`
  let leaveAgain: () => void
  /** Hears beats, and answers who asks for a neighbour. */
  let hub: SubnetNode
  /** Is told by identify, and answers who walks the DHT. */
  let server: Libp2p<Services>

  before(() => {
    leaveAgain = stayHere()
  })

  beforeEach(async () => {
    hub = await lab.node()
    server = await stack(['/ip4/127.0.0.1/tcp/0'])
  })

  afterEach(async () => {
    await Promise.all(stacks.splice(0).map(async (each) => each.stop()))
    await lab.clean()
  })

  after(() => leaveAgain())

  async function nodeOn({ networkInterfaces }: Machine, settings: CreateNodeOptions['settings'] = {}): Promise<SubnetNode> {
    const bootstrap = [addressOf(hub), String(server.getMultiaddrs()[0])]
    return lab.node({
      networkInterfaces,
      // only a change of its addresses makes it beat again
      settings: { listen: ['/ip4/0.0.0.0/tcp/0'], bootstrap, kadProtocol, heartbeatInterval: '10m', ...settings },
    })
  }

  /** A bare stack: it sees what any other peer would. */
  async function stack(listen: string[]): Promise<Libp2p<Services>> {
    const { privateKey } = await newPeer()
    const bare = { announce: [], subnetId: 1, kadProtocol, gossipIpColocationWeight: 0, agent: 'bare' }
    const made = await createLibp2p({ privateKey, listen, ...bare })
    stacks.push(made)
    await startLibp2p(made, listen.length > 0)
    return made
  }

  /** The next answer or push of identify that has these hosts, or any. */
  async function identified(by: Libp2p<Services>, hosts?: string[]): Promise<IdentifyResult> {
    for await (const [{ detail }] of on(by as unknown as EventTarget, 'peer:identify') as AsyncIterable<[CustomEvent<IdentifyResult>]>) {
      if (hosts == null || detail.listenAddrs.map(hostOf).join() === hosts.join()) {
        return detail
      }
    }
    throw new Error('unreachable: the iterator of events does not end')
  }

  async function dialled(address: string): Promise<{ by: Libp2p<Services>; answer: IdentifyResult }> {
    const by = await stack([])
    const [answer] = await Promise.all([identified(by), by.dial(multiaddr(address))])
    return { by, answer }
  }

  /** That all who may be asked say the same, each in its own way. */
  async function assertTold(node: SubnetNode, hosts: string[]): Promise<void> {
    assert.deepEqual(node.multiaddrs.map(hostOf), hosts)
    const asker = await lab.idle({ settings: { bootstrap: [addressOf(hub)] } })
    await asker.start()
    const neighbour = await asker.resolve(node.peerId, { tiers: ['neighbour'] })
    assert.equal(neighbour.verified, true)
    assert.deepEqual(neighbour.multiaddrs.map(hostOf), hosts, 'by a neighbour')
    const walker = await dialled(String(server.getMultiaddrs()[0]))
    const walked = await walkTo(walker.by, node.peerId, 16, AbortSignal.timeout(20_000))
    // which does not keep their order, but for the first
    assert.equal(walked[0] == null ? undefined : hostOf(walked[0]), hosts[0])
    assert.deepEqual(walked.map(hostOf).sort(), [...hosts].sort(), 'by the DHT')
    const { answer } = await dialled(String(node.multiaddrs[0]).replace(/^\/ip4\/[^/]*/, '/ip4/127.0.0.1'))
    assert.deepEqual(answer.listenAddrs.map(hostOf), hosts, 'by identify')
    assert.deepEqual(answer.signedPeerRecord?.addresses.map(hostOf), hosts, 'in its signed record')
  }

  /** Resolves once the hub has heard a beat with these hosts, and the server was told of them. */
  async function told(hosts: string[]): Promise<void> {
    const heard = event(hub, 'heartbeat', ({ multiaddrs }) => multiaddrs.map(hostOf).join() === hosts.join())
    await Promise.all([heard, identified(server, hosts)])
  }

  function endsIn({ peerId }: SubnetNode): (address: string) => boolean {
    return (address) => address.endsWith(`/p2p/${peerId.toString()}`)
  }

  const machines: Array<{ name: string; has: string[]; tells: string[]; listen?: string[]; settings?: CreateNodeOptions['settings'] }> = [
    { name: 'of a machine whose only address is public: that one', has: [...LOOPBACK, PUBLIC], tells: [PUBLIC] },
    { name: 'of a machine in a private network: its private ones', has: [...LOOPBACK, PRIVATE], tells: [PRIVATE] },
    { name: 'of a machine with both: the public one first', has: [...LOOPBACK, PRIVATE, PUBLIC], tells: [PUBLIC, PRIVATE] },
    { name: 'of a machine without a network: loopback', has: LOOPBACK, tells: ['127.0.0.1'] },
    {
      name: 'leave out link-local ones, which mean another place on every machine',
      has: [...LOOPBACK, ...LINK_LOCAL, PRIVATE],
      tells: [PRIVATE],
    },
    {
      name: 'of one that listens on IPv6: public, then private, and no link-local ones',
      has: [...LOOPBACK, UNIQUE_LOCAL, 'fe80::7', PUBLIC_6, PUBLIC],
      listen: ['/ip6/::/tcp/0'],
      tells: [PUBLIC_6, UNIQUE_LOCAL],
    },
    {
      name: 'of one that listens on both: all public ones first',
      has: [...LOOPBACK, PRIVATE, UNIQUE_LOCAL, PUBLIC, PUBLIC_6],
      listen: ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'],
      tells: [PUBLIC, PUBLIC_6, PRIVATE, UNIQUE_LOCAL],
    },
    {
      name: 'are those that it was told to announce, in that order',
      has: [...LOOPBACK, PUBLIC],
      settings: { announce: ['/ip4/10.0.0.9/tcp/1', '/ip4/45.79.0.9/tcp/1'] },
      tells: ['10.0.0.9', '45.79.0.9'],
    },
  ]
  for (const { name, has, tells, listen, settings } of machines) {
    it(name, async function () {
      if (listen?.some((address) => address.startsWith('/ip6')) === true && !(await hasIPv6())) {
        this.skip()
      }
      const node = await nodeOn(new Machine(...has), { ...(listen == null ? {} : { listen }), ...settings })
      assert.deepEqual(node.multiaddrs.map(hostOf), tells, 'at once')
      assert.ok(node.multiaddrs.map(String).every(endsIn(node)))
    })
  }

  it('are the same to whoever is asked: in beats, identify, the DHT and by neighbours', async () => {
    const heard = told([PUBLIC, PRIVATE])
    const node = await nodeOn(new Machine(...LOOPBACK, PRIVATE, PUBLIC))
    await heard
    await assertTold(node, [PUBLIC, PRIVATE])
  })

  // others take four beats of a peer at once, and two say that it is there: so many changes are heard before its next interval
  for (const { name, has, steps } of [
    { name: 'appears', has: [], steps: [[PUBLIC], [PUBLIC, PRIVATE]] },
    { name: 'goes away, and when it comes back', has: [...LOOPBACK, PUBLIC, PRIVATE], steps: [[PRIVATE], [PUBLIC, PRIVATE]] },
  ]) {
    it(`are told anew when one ${name}, with nobody asking`, async () => {
      const machine = new Machine(...has)
      const node = await nodeOn(machine)
      assert.deepEqual(node.multiaddrs.map(hostOf), has.slice(LOOPBACK.length))
      const events: string[][] = []
      node.on('addresses', ({ multiaddrs }) => events.push(multiaddrs.map(hostOf)))
      for (const hosts of steps) {
        const heard = told(hosts)
        machine.addresses = [...LOOPBACK, ...hosts]
        await heard
        await assertTold(node, hosts)
      }
      assert.deepEqual(events, steps)
    })
  }

  it('stay as they are while the interfaces cannot be read', async () => {
    const machine = new Machine(...LOOPBACK, PUBLIC)
    const node = await nodeOn(machine)
    await new Promise<void>((resolve) => {
      machine.failing = resolve
    })
    assert.deepEqual(node.multiaddrs.map(hostOf), [PUBLIC])
    machine.failing = undefined
    const heard = told([PUBLIC, PRIVATE])
    machine.addresses = [...LOOPBACK, PUBLIC, PRIVATE]
    await heard
  })

  it('are at most four private ones: a machine may have dozens, and of most nobody else is in their network', async () => {
    const many = Array.from({ length: 20 }, (_, index) => `10.0.${index}.7`)
    const node = await nodeOn(new Machine(...LOOPBACK, ...many, PUBLIC))
    assert.deepEqual(node.multiaddrs.map(hostOf), [PUBLIC, ...many.slice(0, 4)])
  })

  it('are as many as fit into a record that others take, the public ones among them', async () => {
    const many = Array.from({ length: 20 }, (_, index) => `45.79.1.${index}`)
    const tells = [PUBLIC, ...many.slice(0, 15)]
    const heard = told(tells)
    const node = await nodeOn(new Machine(...LOOPBACK, PRIVATE, PUBLIC, ...many))
    await heard
    await assertTold(node, tells)
    // the ledger takes no more either
    const { multiaddrs } = await node.registry.publish(node.multiaddrs)
    assert.deepEqual(multiaddrs.map(hostOf), tells)
  })
})
