import assert from 'node:assert/strict'
import type { Finding } from '../../src/cli/doctor/finding.ts'
import { Cli, type RunningNode } from '../support/cli.ts'
import { newPeer } from '../support/keys.ts'

const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

describe('subnet doctor', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let hub: RunningNode
  let home: string

  before(async () => {
    hub = await cli.start(await cli.home(), ['--listen', LOOPBACK, '--handler', 'echo'])
    home = await cli.home()
    await cli.start(home, ['--listen', LOOPBACK, '--bootstrap', hub.address])
  })

  after(async () => cli.clean())

  async function examine(at: string, args: string[] = []): Promise<{ code: number | null; ok: boolean; findings: Finding[] }> {
    const { code, stdout } = await cli.run(at, ['doctor', ...args, '--json'])
    return { code, ...JSON.parse(stdout) }
  }

  function rows(findings: Finding[], check: string): string[] {
    return findings.filter((finding) => finding.check === check).map(({ state, subject }) => `${state} ${subject ?? ''}`.trim())
  }

  it('finds nothing wrong with a node that is well, and ends with 0', async () => {
    const { code, ok, findings } = await examine(home)
    assert.deepEqual([code, ok], [0, true], JSON.stringify(findings))
    for (const check of ['program', 'home', 'key', 'disk', 'database', 'node', 'clock', 'connections', 'chain']) {
      assert.match(rows(findings, check)[0] ?? check, /^ok/)
    }
    assert.deepEqual(rows(findings, 'bootstrap'), [`ok ${hub.address}`])
    assert.match(rows(findings, 'address').at(-1) ?? '', /^warning/, 'loopback alone is worth a word')
  })

  it('looks at the bootstraps with a node of its own where none runs, and names the one that is dead, with its own error', async () => {
    const dead = `/ip4/127.0.0.1/tcp/1/p2p/${(await newPeer()).peerId.toString()}`
    const { code, ok, findings } = await examine(await cli.home(), ['--bootstrap', hub.address, '--bootstrap', dead])
    assert.deepEqual([code, ok], [4, false])
    assert.deepEqual(rows(findings, 'node'), ['skipped'])
    assert.deepEqual(rows(findings, 'bootstrap'), [`ok ${hub.address}`, `problem ${dead}`])
    assert.match(findings.find(({ state }) => state === 'problem')?.message ?? '', /ECONNREFUSED/)
  })

  it('says that a bootstrap is of another subnet', async () => {
    const { code, findings } = await examine(await cli.home(), ['--bootstrap', hub.address, '--subnet-id', '7'])
    assert.equal(code, 5)
    assert.match(findings.find(({ check }) => check === 'bootstrap')?.message ?? '', /is in subnet 1: this node is in 7/)
  })

  it('warns of a node that no peer can find by its ID, until it publishes on a ledger that others read', async () => {
    const [alone, published] = [await cli.home(), await cli.home()]
    const ledger = ['--chain', `ledger:${await cli.folder()}/ledger.db`]
    await cli.start(alone, ['--publish', '--listen', LOOPBACK])
    const node = await cli.start(published, ['--publish', '--listen', LOOPBACK, ...ledger])
    await cli.json(await cli.home(), ['resolve', node.peerId, ...ledger])
    const messages = await Promise.all([alone, published].map(async (at) => (await examine(at)).findings.map(({ message }) => message)))
    assert.deepEqual(
      messages.map((all) => all.some((message) => message.startsWith('no peer can find this node by its ID: '))),
      [true, false],
    )
  })

  it('says what no node can tell: that the chain is away', async () => {
    const { code, findings } = await examine(await cli.home(), ['--chain', 'hypertensor:ws://127.0.0.1:1'])
    assert.equal(code, 10)
    assert.deepEqual(rows(findings, 'chain'), ['problem'])
  })

  describe('of a peer', () => {
    it('asks every tier, dials every address, measures, and looks for tasks', async () => {
      const { code, ok, findings } = await examine(home, [hub.peerId])
      assert.deepEqual([code, ok], [0, true], JSON.stringify(findings))
      assert.deepEqual(
        rows(findings, 'tier').map((row) => row.replace(/^(ok|skipped) /, '')),
        ['gossip', 'neighbour', 'chain'],
      )
      assert.deepEqual(rows(findings, 'address'), [`ok ${hub.address}`])
      assert.match(findings.find(({ check }) => check === 'address')?.message ?? '', /^connected directly in /)
      assert.deepEqual([rows(findings, 'round trip'), rows(findings, 'protocols')], [['ok'], ['ok']])
    })

    it('ends as a task would: 3 for one that nobody knows, 4 for a dead address, 2 for what is no peer', async () => {
      const { peerId } = await newPeer()
      const unknown = await examine(home, [peerId.toString()])
      assert.equal(unknown.code, 3)
      assert.equal(
        rows(unknown.findings, 'tier').every((row) => row.startsWith('skipped')),
        true,
        JSON.stringify(unknown.findings),
      )
      const dead = `/ip4/127.0.0.1/tcp/1/p2p/${peerId.toString()}`
      const unreachable = await examine(home, [dead])
      assert.equal(unreachable.code, 4)
      assert.deepEqual(rows(unreachable.findings, 'tier'), [], 'a multiaddr is taken as given')
      assert.deepEqual(rows(unreachable.findings, 'address'), [`warning ${dead}`])
      const { code, stdout } = await cli.run(home, ['doctor', 'nobody', '--json'])
      assert.deepEqual([code, JSON.parse(stdout).error.code], [2, 'USAGE'])
    })

    it('shows a person one line each, with a hint below', async () => {
      const { stdout } = await cli.run(home, ['doctor', hub.peerId])
      assert.match(stdout, /^ok {7}round trip {3}\d/m)
    })
  })
})
