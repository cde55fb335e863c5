import assert from 'node:assert/strict'
import { join } from 'node:path'
import { webSockets } from '@libp2p/websockets'
import { type Candidate, LedgerRegistry, type Multiaddr, type NamedOver, type SubnetNode, type Tier } from '../../../src/index.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { parseMultiaddr } from '../../../src/primitives/address.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'

const log = createLogger('silent', () => undefined)

describe('a node that is given', () => {
  const lab = new Lab()
  let friend: SubnetNode

  before(async () => {
    friend = await lab.node()
  })

  after(async () => lab.clean())

  /** A tier of somebody else, which knows one peer. */
  function phoneBook(of: SubnetNode, init: Partial<Candidate> & { order?: number } = {}): Tier {
    const { order = 150, ...overrides } = init
    return {
      name: 'phone-book',
      order,
      budgetMs: 1_000,
      find: async function* (peerId) {
        if (peerId.equals(of.peerId)) {
          const answer: Candidate = {
            multiaddrs: of.multiaddrs,
            source: 'phone-book',
            verified: false,
            seq: 0n,
            ageMs: undefined,
            detail: 'page 7',
          }
          yield { ...answer, ...overrides }
        }
      },
    }
  }

  describe('a stranger’s tier', () => {
    it('calls a peer that only the tier knows, and tells where it found it', async () => {
      const node = await lab.node({ tiers: [phoneBook(friend, { namedOver: 'trusted' })] })
      const { source, attempts, multiaddrs } = await node.resolve(friend.peerId)
      assert.equal(source, 'phone-book')
      assert.deepEqual(
        attempts.map(({ tier, outcome }) => `${tier} ${outcome}`),
        ['gossip miss', 'phone-book hit', 'neighbour skipped', 'chain skipped'],
      )
      assert.deepEqual(multiaddrs.map(String), friend.multiaddrs.map(String))
      const { accepted } = await node.tasks.sendTask(friend.peerId, 'a task', Buffer.from('x'))
      assert.equal(accepted, false)
      const again = await node.resolve(friend.peerId)
      assert.deepEqual(
        again.attempts.map(({ tier, outcome, detail }) => `${tier} ${outcome} ${detail}`),
        ['gossip', 'phone-book', 'neighbour', 'chain'].map((tier) => `${tier} skipped already connected`),
      )
    })

    it('remembers what a connection confirmed, with the tier as its origin', async () => {
      const home = await lab.folder()
      const node = await lab.node({ home, tiers: [phoneBook(friend, { namedOver: 'trusted' })] })
      await node.resolve(friend.peerId)
      await node.stop()
      const [known] = await (await lab.idle({ home })).peers({ all: true })
      assert.deepEqual([known?.peerId.toString(), known?.source], [friend.peerId.toString(), 'phone-book'])
    })

    for (const [namedOver, reached] of [
      ['loopback', true],
      ['stranger', false],
      [undefined, false],
    ] as Array<[NamedOver | undefined, boolean]>) {
      it(`${reached ? 'dials' : 'does not dial'} an address of this machine that is named by ${namedOver ?? 'nobody who is told'}`, async () => {
        const node = await lab.node({ tiers: [phoneBook(friend, { namedOver })] })
        const resolved = node.resolve(friend.peerId, { tiers: ['phone-book'] })
        await (reached ? resolved : assert.rejects(resolved, { code: 'UNREACHABLE', message: /announced by another machine/ }))
      })
    }

    it('is refused with a name that is taken', async () => {
      await assert.rejects(lab.idle({ tiers: [{ ...phoneBook(friend), name: 'chain' }] }), { code: 'USAGE', message: /"chain"/ })
    })
  })

  describe('a stranger’s chain', () => {
    it('finds a peer there, whatever the settings name, and closes it when it stops', async () => {
      const file = join(await lab.folder(), 'other.db')
      const { privateKey } = await newPeer()
      class Closing extends LedgerRegistry {
        closed = 0

        override async close(): Promise<void> {
          this.closed++
          await super.close()
        }
      }
      const publisher = await lab.node({ settings: { chain: `ledger:${file}` } })
      await publisher.registry.publish(publisher.multiaddrs)
      const registry = new Closing({ file, subnetId: 1, privateKey, log })
      const node = await lab.node({ registry })
      const { source, multiaddrs } = await node.resolve(publisher.peerId)
      assert.equal(source, 'chain')
      assert.deepEqual(multiaddrs.map(String), publisher.multiaddrs.map(String))
      await node.stop()
      assert.equal(registry.closed, 1)
    })
  })

  describe('a transport beside TCP', () => {
    const webSocket = { transport: webSockets(), listen: ['/ip4/127.0.0.1/tcp/0/ws'] }
    let served: SubnetNode

    before(async () => {
      served = await lab.node({ settings: { listen: [] }, transports: [webSocket] })
    })

    /** A tier whose answers come from `namedOver`. */
    function only(multiaddr: string, namedOver?: NamedOver): Tier {
      return phoneBook(served, { multiaddrs: [parseMultiaddr(multiaddr)], namedOver })
    }

    it('listens and dials with it, and carries calls', async () => {
      const node = await lab.node({ transports: [{ transport: webSockets() }] })
      const [address] = served.multiaddrs
      assert.match(String(address), /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/ws\/p2p\//)
      const { accepted } = await node.tasks.sendTask(address as Multiaddr, 'a task', Buffer.from('x'))
      assert.equal(accepted, false)
      assert.deepEqual(
        (await node.peers()).map(({ multiaddrs }) => multiaddrs.map(String)),
        [[String(address)]],
      )
    })

    it('judges what others named before it dials', async () => {
      const node = await lab.node({ transports: [webSocket], tiers: [only(addressOf(served), 'stranger')] })
      await assert.rejects(node.resolve(served.peerId, { tiers: ['phone-book'] }), {
        code: 'UNREACHABLE',
        message: /announced by another machine/,
      })
    })

    it('dials no name that others gave it: nobody sees where such a name leads', async () => {
      const named = addressOf(served).replace('/ip4/127.0.0.1/', '/dns4/localhost/')
      const stranger = await lab.node({ transports: [webSocket], tiers: [only(named, 'loopback')] })
      await assert.rejects(stranger.resolve(served.peerId, { tiers: ['phone-book'] }), {
        code: 'UNREACHABLE',
        message: /resolves names unchecked/,
      })
      const user = await lab.node({ transports: [webSocket], tiers: [only(named, 'trusted')] })
      assert.equal((await user.resolve(served.peerId, { tiers: ['phone-book'] })).source, 'phone-book')
    })

    it('fails with the address that it dialled, as TCP does', async () => {
      const node = await lab.node({ transports: [webSocket] })
      const nobody = parseMultiaddr(addressOf(served).replace(/\/tcp\/\d+\//, '/tcp/1/'))
      await assert.rejects(node.tasks.sendTask(nobody, 'a task', Buffer.from('x')), {
        code: 'UNREACHABLE',
        message: /^not reached: \/ip4\/127\.0\.0\.1\/tcp\/1\/ws\//,
      })
    })

    it('is not there for a node without it', async () => {
      const node = await lab.node()
      const to = served.multiaddrs[0] as Multiaddr
      await assert.rejects(node.tasks.sendTask(to, 'a task', Buffer.from('x')), {
        code: 'UNREACHABLE',
        message: /no transport of this node/,
      })
    })
  })
})
