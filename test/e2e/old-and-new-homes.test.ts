import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { jsonError } from '../support/cli.ts'
import { RELEASE } from '../support/old-release.ts'
import { Terminal } from '../support/pty.ts'
import { PEER_ID as STRANGER } from '../support/seeds.ts'
import { TASK } from '../support/task-sender.ts'
import { BOTH_WAYS, hears, TwoVersions, type Version } from '../support/two-versions.ts'

const LARGE = 5 << 20

interface Found {
  peerId: string
  multiaddrs: string[]
  source: string
  verified: boolean
}

describe(`a home of this version and of the release ${RELEASE}`, function () {
  this.timeout(120_000)
  let both: TwoVersions
  let chain: string

  before(async () => {
    both = await TwoVersions.unpack()
    chain = `ledger:${join(await both.cli['this version'].folder(), 'ledger.db')}`
    await both.start({ chain, heartbeatInterval: '2s' }, () => ['--publish'])
  })

  after(async () => both?.clean())

  it('whose node is of the release is followed by this version, which says that it hears less', async () => {
    const { home, node } = both.side('the release')
    const following = both.cli['this version'].launch(home, ['events', '--json', '--since', '1h', '--type', 'ready', '--type', 'heartbeat'])
    await following.prints(/"event":"heartbeat"/)
    const { stdout, stderr } = await following.signal('SIGINT')
    const [first, ...rest] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual([first.event, first.peerId], ['ready', node.peerId])
    assert.ok(rest.every(({ event }) => event === 'heartbeat'))
    assert.match(stderr, /^the node runs an earlier version: it sends fewer events, and none from before now\n$/)
  })

  it('whose node is of the release takes the short forms of this version', async () => {
    const [{ home }, { peerId, address }] = [both.side('the release'), both.side('this version').node]
    const cli = both.cli['this version']
    await cli.json(home, ['connect', address])
    await cli.json(home, ['alias', 'set', peerId.slice(-18), peerId])
    for (const name of [peerId.slice(-16), peerId.slice(-18)]) {
      assert.equal((await cli.json(home, ['ping', name]))['peerId'], peerId)
    }
    await cli.json(home, ['alias', 'remove', peerId.slice(-18)])
  })

  it('whose node is of the release is drawn by this version, with what the node tells', async () => {
    const { home, node } = both.side('the release')
    const caller = both.cli['this version']
    const terminal = new Terminal(home, ['top'])
    try {
      await terminal.shows(/^tiers {2}the node runs an earlier version: no tiers, no bytes, no tasks by peer$/m)
      await terminal.shows(new RegExp(`^> - +${both.side('this version').node.peerId.slice(0, 8)}…`, 'm'))
      await caller.json(await caller.home(), ['send-task', node.address, '--text', 'x'])
      await terminal.shows(/; tasks [1-9]\d* accepted, 0 rejected, 0 failed$/m)
      terminal.type('q')
      assert.equal(await terminal.ended, 0)
    } finally {
      await terminal.end()
    }
  })

  for (const [asking, answering] of BOTH_WAYS) {
    describe(`whose node is of ${answering}, and whose commands are of ${asking}`, () => {
      /** Runs a command of version `asking` in the home of the node of version `answering`. */
      async function ask<Answer = Record<string, unknown>>(...args: string[]): Promise<Answer> {
        return both.cli[asking].json<Answer>(both.side(answering).home, args)
      }

      it('shows the node and its peers', async () => {
        const [{ node }, peer] = [both.side(answering), both.side(asking).node]
        const [id, status, peers, config] = await Promise.all([
          ask('id'),
          ask('status'),
          ask<Array<{ peerId: string; connected: boolean; protocols: string[] }>>('peers'),
          ask<{ settings: Record<string, unknown> }>('config'),
        ])
        assert.deepEqual(id, { peerId: node.peerId, multiaddrs: [node.address] })
        assert.equal(status['healthy'], true)
        assert.equal(status['pid'], node.running.child.pid)
        const shown = peers.find(({ peerId }) => peerId === peer.peerId) ?? assert.fail('the peer is not shown')
        assert.equal(shown.connected, true)
        assert.ok(shown.protocols.includes(TASK))
        assert.ok('heartbeatInterval' in config.settings, JSON.stringify(config))
      })

      it('resolves, pings, measures and calls a peer', async () => {
        const peer = both.side(asking).node
        await ask('connect', peer.address)
        const task = ['send-task', peer.peerId, '--text', 'x']
        const data = JSON.stringify({ taskId: 'a task', payload: Buffer.from('x').toString('base64') })
        const [found, pinged, sent, called, listed, described, measured] = await Promise.all([
          ask<Found>('resolve', peer.peerId),
          ask<{ roundTripsMs: number[] }>('ping', peer.peerId, '--count', '1'),
          ask(...task),
          ask('call', peer.peerId, TASK, '--data', data),
          ask<Array<{ id: string }>>('protocol', 'list', peer.peerId),
          ask('protocol', 'describe', peer.peerId, TASK),
          ask('bench', peer.peerId, '--count', '3', '--duration', '900ms', '--size', '1000'),
        ])
        assert.deepEqual(found.multiaddrs, [peer.address])
        assert.equal(pinged.roundTripsMs.length, 1)
        assert.equal(sent['resultBase64'], Buffer.from('x').toString('base64'))
        assert.equal(called['result'], sent['resultBase64'])
        assert.ok(listed.some(({ id }) => id === TASK))
        assert.equal(described['requestType'], 'task_protocol.pb.TaskRequest')
        assert.equal(measured['rejection'], null)
      })

      it('sends what comes from stdin, and a batch', async () => {
        const [cli, { home }, { peerId }] = [both.cli[asking], both.side(answering), both.side(asking).node]
        const payload = randomBytes(LARGE)
        const batch = Array.from({ length: 50 }, (_, index) => JSON.stringify({ peer: peerId, text: `task ${index}` })).join('\n')
        const [piped, many] = await Promise.all([
          cli.run(home, ['send-task', peerId, '--payload', '-'], { stdin: payload }),
          cli.run(home, ['send-task', '--batch', '-', '--json'], { stdin: batch }),
        ])
        assert.deepEqual([piped.code, many.code], [0, 0], piped.stderr + many.stderr)
        assert.ok(payload.equals(piped.bytes), 'what was piped came back')
        const results = many.stdout
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
        assert.deepEqual(
          results.map(({ accepted }) => accepted),
          Array(50).fill(true),
        )
      })

      it('has aliases and a chain', async () => {
        const [{ node }, peer] = [both.side(answering), both.side(asking).node]
        await ask('alias', 'set', 'bob', peer.peerId)
        const [aliases, listed, looked] = await Promise.all([
          ask('alias', 'list'),
          ask<Found[]>('chain', 'list'),
          ask<Found>('chain', 'lookup', 'bob'),
        ])
        assert.deepEqual(aliases, [{ alias: 'bob', peerId: peer.peerId }])
        assert.deepEqual(listed.map(({ peerId }) => peerId).sort(), [node.peerId, peer.peerId].sort())
        assert.deepEqual(looked.multiaddrs, [peer.address])
      })

      it('tells of a failure with its code, its hint and all attempts', async () => {
        const outcome = await both.cli[asking].run(both.side(answering).home, ['send-task', STRANGER, '--text', 'x', '--json'])
        assert.equal(outcome.code, 3)
        const { code, hint, attempts } = jsonError(outcome)
        assert.equal(code, 'PEER_NOT_FOUND')
        assert.equal(typeof hint, 'string')
        const tiers = (attempts as Array<{ tier: string; outcome: string }>).map(({ tier, outcome: how }) => `${tier} ${how}`)
        assert.deepEqual(tiers, ['gossip miss', 'neighbour miss', 'chain miss'])
      })

      it('has room for one node', async () => {
        const [cli, { home, node }] = [both.cli[asking], both.side(answering)]
        const { code, message } = jsonError(await cli.run(home, ['start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0']))
        assert.equal(code, 'ALREADY_RUNNING')
        assert.ok(message.includes(`pid ${node.running.child.pid}`), message)
      })

      it('tells what changes among the peers', async () => {
        const [cli, { home }, peer] = [both.cli[asking], both.side(answering), both.side(asking).node]
        const watching = cli.launch(home, ['peers', '--watch'])
        let told = false
        const tells = watching.prints(/"event":"peer:disconnect"/).finally(() => {
          told = true
        })
        // the first ones may come before it watches
        while (!told) {
          await ask('connect', peer.address)
          await ask('disconnect', peer.peerId)
        }
        await tells
        await watching.end()
        await ask('connect', peer.address)
      })
    })
  }

  describe('that one after the other uses', () => {
    let home: string
    let peerId: string
    const aliases: Array<{ alias: string; peerId: string }> = []

    before(async () => {
      const peer = both.side('this version').node
      home = await both.cli['the release'].home({ chain, heartbeatInterval: '2s', bootstrap: [peer.address] })
      peerId = (await both.cli['the release'].json<{ peerId: string }>(home, ['id'])).peerId
      await runs('the release')
    })

    /** Runs a node in the home. The node publishes its address, hears a peer and gets an alias for the peer. */
    async function runs(version: Version): Promise<void> {
      const [cli, peer] = [both.cli[version], both.side('this version').node]
      const node = await cli.start(home, ['--publish', '--handler', 'echo'])
      assert.equal(node.peerId, peerId)
      await hears(node, peer)
      const alias = { alias: `peer-${aliases.length}`, peerId: peer.peerId }
      assert.deepEqual(await cli.json(home, ['alias', 'set', alias.alias, peer.peerId]), alias)
      aliases.push(alias)
      assert.equal((await node.stop()).code, 0)
      const published = await cli.json<Found>(home, ['chain', 'lookup', peerId])
      assert.deepEqual(published.multiaddrs, [node.address])
    }

    /** Reads the key, the aliases, the settings and the address book. */
    async function reads(version: Version): Promise<void> {
      const [cli, peer] = [both.cli[version], both.side('this version').node]
      const [id, named, { settings }, found] = await Promise.all([
        cli.json(home, ['id']),
        cli.json(home, ['alias', 'list']),
        cli.json<{ settings: Record<string, { value: unknown; from: string }> }>(home, ['config']),
        cli.json<Found>(home, ['resolve', 'peer-0', '--tier', 'gossip']),
      ])
      assert.equal(id['peerId'], peerId)
      assert.deepEqual(named, aliases)
      assert.equal(settings['chain']?.value, chain)
      assert.deepEqual([found.source, found.multiaddrs, found.verified], ['gossip', [peer.address], true])
    }

    it('has its key, aliases, settings and address book for this version, when the release made it', async () => {
      await reads('this version')
    })

    it('goes on with the release after this version used it, and with this version after that', async () => {
      await runs('this version')
      await reads('the release')
      await runs('the release')
      await reads('this version')
    })
  })

  // the last: it ends their nodes
  describe('whose node runs', () => {
    for (const [asking, answering] of BOTH_WAYS) {
      it(`is stopped by a command: a node of ${answering} by ${asking}`, async () => {
        const { home, node } = both.side(answering)
        assert.deepEqual(await both.cli[asking].json(home, ['stop']), { peerId: node.peerId, pid: node.running.child.pid })
        assert.equal((await node.running.ended).code, 0)
      })
    }
  })
})
