import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { Cli, type RunningNode } from '../support/cli.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { TemplateLab } from './template-peer.ts'

/** A minute from the start of all on, less what the tests before took. */
const HAPPENS_WITHIN_MS = 50_000

interface Attempt {
  tier: string
  outcome: string
  detail?: string
}

interface Found {
  multiaddrs: string[]
  source: string
  attempts: Attempt[]
}

interface Listed {
  peerId: string
  multiaddrs: string[]
}

describe('a network of the template: a bootnode, two peers, and a node of ours, each a process', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const template = new TemplateLab()
  let bootnode: ForeignPeer
  let peers: ForeignPeer[]
  let home: string
  let ours: RunningNode

  before(async () => {
    bootnode = await template.peer({ bootnode: true })
    home = await cli.home()
    const [first, second, node] = await Promise.all([
      template.peer({ bootstrap: [bootnode.address] }),
      template.peer({ bootstrap: [bootnode.address] }),
      cli.start(home, ['--network', 'template', '--bootstrap', bootnode.address, '--handler', 'echo']),
    ])
    peers = [first, second]
    ours = node
  })

  after(async () => {
    await cli.clean()
    await template.clean()
  })

  /** Asks until there is an answer: the bootnode may not know of everybody yet. */
  async function resolved(inHome: string, peerId: string, ...flags: string[]): Promise<Found> {
    const signal = AbortSignal.timeout(HAPPENS_WITHIN_MS)
    while (true) {
      const { code, stdout } = await cli.run(inHome, ['resolve', peerId, '--json', ...flags])
      if (code === 0) {
        return JSON.parse(stdout)
      }
      assert.equal(code, 3, stdout)
      signal.throwIfAborted()
    }
  }

  it('have all started: each peer has heard from all that it knows', async () => {
    for (const peer of peers) {
      await peer.event('started')
    }
  })

  it('the peers hear of each other, and find each other by way of the bootnode', async () => {
    const [first, second] = peers as [ForeignPeer, ForeignPeer]
    await first.event('state', ({ peerId }) => peerId === second.peerId)
    await second.event('state', ({ peerId }) => peerId === first.peerId)
    assert.deepEqual(await first.do('find', { peer: second.peerId }), { addresses: [second.address] })
  })

  it('a command without a node finds a peer by its ID, by way of the bootnode, and sends it a task', async () => {
    const [first] = peers as [ForeignPeer]
    const flags = ['--network', 'template', '--bootstrap', bootnode.address]
    const alone = await cli.home()
    const { multiaddrs, source, attempts } = await resolved(alone, first.peerId, ...flags)
    assert.deepEqual([multiaddrs, source], [[first.address], 'neighbour'])
    assert.equal(attempts.find(({ outcome }) => outcome === 'hit')?.detail, 'by the Kademlia walk')
    const { accepted } = await cli.json(alone, ['send-task', first.peerId, '--text', 'found', ...flags])
    assert.equal(accepted, true)
  })

  it('ours finds the peers in its address book, once they told their state, and asks nobody', async () => {
    for (const { peerId, address } of peers) {
      const { multiaddrs, source, attempts } = await resolved(home, peerId, '--tier', 'gossip')
      assert.deepEqual([multiaddrs, source], [[address], 'gossip'])
      const asked = attempts.filter(({ outcome }) => outcome !== 'skipped').map(({ tier, outcome }) => `${tier} ${outcome}`)
      assert.deepEqual(asked, ['gossip hit'])
      const { accepted } = await cli.json(home, ['send-task', peerId, '--text', 'heard'])
      assert.equal(accepted, true)
    }
  })

  it('the peers find ours by its ID, by way of the bootnode, and ask it', async () => {
    const [, second] = peers as [ForeignPeer, ForeignPeer]
    const { addresses } = await second.do<{ addresses: string[] }>('find', { peer: ours.peerId })
    assert.deepEqual(
      addresses.map((address) => address.replace(`/p2p/${ours.peerId}`, '')),
      [ours.address.replace(`/p2p/${ours.peerId}`, '')],
    )
    await second.do('dial', { address: ours.address })
    assert.equal((await second.do('call', { peer: ours.peerId, taskId: 'a task', size: 10 }))['accepted'], true)
  })

  it('ours lists all of them', async () => {
    const all = [bootnode, ...peers].map(({ peerId, address }) => `${peerId} ${address}`)
    const signal = AbortSignal.timeout(HAPPENS_WITHIN_MS)
    while (true) {
      const listed = await cli.json<Listed[]>(home, ['peers', '--all'])
      const known = new Set(listed.flatMap(({ peerId, multiaddrs }) => multiaddrs.map((address) => `${peerId} ${address}`)))
      if (all.every((each) => known.has(each))) {
        return
      }
      await delay(100, undefined, { signal })
    }
  })
})
