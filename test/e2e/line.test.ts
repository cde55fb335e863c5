import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'

const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

interface Resolved {
  source: string
  verified: boolean
  multiaddrs: string[]
  attempts: Array<{ tier: string; outcome: string }>
}

/** `gossip hit, neighbour skipped, …` */
function trace(attempts: Array<{ tier: string; outcome: string }>): string {
  return attempts.map(({ tier, outcome }) => `${tier} ${outcome}`).join(', ')
}

describe('four processes in a line A - B - D - C', function () {
  this.timeout(180_000)
  const cli = new Cli()
  let homeOfA: string
  let homeOfC: string
  let chain: string[]
  let b: RunningNode
  let d: RunningNode
  let c: RunningNode

  before(async () => {
    ;[homeOfA, homeOfC] = [await cli.home(), await cli.home()]
    chain = ['--chain', `ledger:${join(await cli.folder(), 'ledger.db')}`]
    const beat = ['--heartbeat-interval', '2s']
    b = await cli.start(await cli.home(), [...chain, ...beat])
    d = await cli.start(await cli.home(), [...chain, ...beat, '--bootstrap', b.address])
    c = await cli.start(homeOfC, [...chain, ...beat, '--bootstrap', d.address, '--publish', '--handler', 'echo'])
    const a = await cli.start(homeOfA, [...chain, ...beat, '--bootstrap', b.address])
    let heard = 0
    await a.running.event('heartbeat', ({ peerId }) => peerId === c.peerId && ++heard === 2)
    assert.equal((await a.stop()).code, 0)
  })

  after(async () => cli.clean())

  it('resolves the far end from the address book that a stopped node left', async () => {
    const found = await cli.json<Resolved>(homeOfA, ['resolve', c.peerId, ...chain])
    assert.equal(found.source, 'gossip')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs, [c.address])
  })

  it('finds the far end from a fresh home whose only bootstrap is a neighbour', async () => {
    const found = await cli.json<Resolved>(await cli.home(), ['resolve', c.peerId, '--bootstrap', b.address, '--tier', 'neighbour'])
    assert.equal(found.source, 'neighbour')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs, [c.address])
    assert.equal(trace(found.attempts), 'gossip skipped, neighbour hit, chain skipped')
  })

  it('finds the far end on the shared ledger, where it published', async () => {
    const found = await cli.json<Resolved>(await cli.home(), ['resolve', c.peerId, ...chain, '--tier', 'chain'])
    assert.equal(found.source, 'chain')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs, [c.address])
  })

  it('ends with 3 for a peer nobody knows, and says what each tier came back with', async () => {
    const outcome = await cli.run(await cli.home(), ['resolve', STRANGER, ...chain, '--bootstrap', b.address, '--json'])
    assert.equal(outcome.code, 3)
    const { code, attempts } = jsonError(outcome)
    assert.equal(code, 'PEER_NOT_FOUND')
    assert.equal(trace(attempts as Resolved['attempts']), 'gossip miss, neighbour miss, chain miss')
  })

  it('reaches the far end by its peer ID after it came back on another port', async () => {
    const before = c.address
    await c.stop()
    c = await cli.start(homeOfC, ['--bootstrap', d.address, '--handler', 'echo', '--heartbeat-interval', '2s'])
    assert.notEqual(c.address, before)
    const moved = ({ peerId, multiaddrs }: Record<string, unknown>): boolean => peerId === c.peerId && String(multiaddrs) === c.address
    await b.running.event('heartbeat', moved)
    const sent = await cli.json<Resolved & { multiaddr: string }>(homeOfA, [
      'send-task',
      c.peerId,
      '--text',
      'hello',
      '--bootstrap',
      b.address,
    ])
    assert.equal(sent.multiaddr, c.address)
    assert.equal(sent.source, 'neighbour')
  })
})
