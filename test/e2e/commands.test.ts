import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, onlyJson, type RunningNode } from '../support/cli.ts'
import { seedFile } from '../support/seeds.ts'

/** What every command is tried with, and the fields that a script finds in its answer. */
interface Row {
  args: (node: RunningNode) => string[]
  fields: string[]
  /** The answer is a list; the fields are those of its entries. */
  list?: true
}

const rows: Record<string, Row> = {
  'chain list': { args: () => [], fields: ['peerId', 'multiaddrs', 'verified', 'block'], list: true },
  'chain lookup': { args: (node) => [node.peerId], fields: ['peerId', 'multiaddrs', 'verified', 'block'] },
  'chain publish': { args: () => ['/ip4/192.0.2.1/tcp/1'], fields: ['peerId', 'multiaddrs', 'verified', 'block'] },
  'chain remove': { args: () => [], fields: ['peerId', 'removed'] },
  connect: { args: (node) => [node.address], fields: ['peerId', 'multiaddr', 'direction'] },
  id: { args: () => [], fields: ['peerId', 'multiaddrs'] },
  'key new': { args: () => ['--key', 'new.key'], fields: ['peerId', 'type', 'file'] },
  'key show': { args: () => [], fields: ['peerId', 'type', 'file'] },
  peers: {
    args: () => [],
    fields: ['peerId', 'alias', 'connected', 'direction', 'latencyMs', 'agent', 'protocols', 'multiaddrs', 'source', 'lastHeartbeatMs'],
    list: true,
  },
  ping: { args: (node) => [node.peerId, '--count', '2'], fields: ['peerId', 'source', 'multiaddr', 'roundTripsMs'] },
  resolve: { args: (node) => [node.peerId], fields: ['peerId', 'multiaddrs', 'source', 'ageMs', 'verified', 'attempts'] },
  'send-task': {
    args: (node) => [node.peerId, '--text', 'x'],
    fields: [
      'taskId',
      'peerId',
      'source',
      'multiaddr',
      'accepted',
      'error',
      'bytesSent',
      'bytesReceived',
      'resultBase64',
      'attempts',
      'timings',
    ],
  },
  // its answer is a stream of events: start.test.ts
  start: { args: () => ['--listen', '/ip4/127.0.0.1/tcp/0'], fields: ['event', 'atMs', 'peerId', 'multiaddrs', 'subnetId', 'home', 'pid'] },
}

async function commandFiles(folder = join(import.meta.dirname, '../../src/commands'), topic: string[] = []): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const found = entries.map(async (entry) =>
    entry.isDirectory()
      ? commandFiles(join(folder, entry.name), [...topic, entry.name])
      : [[...topic, entry.name.replace(/\.ts$/, '')].join(' ')],
  )
  return (await Promise.all(found)).flat()
}

describe('every command', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let node: RunningNode
  let home: string
  let folder: string

  before(async () => {
    folder = await cli.folder()
    const chain = `ledger:${folder}/ledger.db`
    node = await cli.start(await cli.home(), ['--handler', 'echo', '--chain', chain, '--publish'])
    home = await cli.home({ bootstrap: [node.address], chain })
    await seedFile(join(home, 'identity.key'))
  })

  after(async () => cli.clean())

  it('has its row here', async () => {
    assert.deepEqual((await commandFiles()).sort(), Object.keys(rows).sort())
  })

  for (const [command, { args, fields, list }] of Object.entries(rows)) {
    it(`answers in JSON, with the fields of the contract: ${command}`, async () => {
      const running = cli.launch(home, [...command.split(' '), ...args(node), '--json'], { cwd: folder })
      if (command === 'start') {
        await running.event('ready')
        await running.signal('SIGTERM')
      }
      const outcome = await running.ended
      assert.deepEqual({ code: outcome.code, stderr: outcome.stderr }, { code: 0, stderr: '' }, outcome.stdout)
      const answer = command === 'start' ? JSON.parse(outcome.stdout.split('\n')[0] as string) : onlyJson(outcome)
      const rowsOfAnswer = list === true ? (answer as object[]) : [answer]
      assert.ok(rowsOfAnswer.length > 0)
      for (const row of rowsOfAnswer) {
        assert.deepEqual(Object.keys(row).sort(), [...fields].sort())
        const { multiaddr, multiaddrs = [multiaddr] } = row as { multiaddr?: string; multiaddrs?: string[] }
        assert.ok(multiaddrs.every((address) => address == null || /\/p2p\/\w+$/.test(address)))
      }
    })

    it(`has help with examples: ${command}`, async () => {
      const { code, stdout, stderr } = await cli.run(home, [...command.split(' '), '--help'])
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
      assert.match(stdout, new RegExp(`EXAMPLES\\n(.*\\n)*? *(\\$ )?(.*\\| )?subnet ${command}`))
      for (const flag of ['--json', '--home', '--timeout', '--log-level', '--no-color']) {
        assert.ok(stdout.includes(flag), `${flag} in ${stdout}`)
      }
    })
  }

  it('speaks to people without --json: the answer on stdout, the rest on stderr', async () => {
    const [resolve, ping, peers, connect] = await Promise.all([
      cli.run(home, ['resolve', node.peerId]),
      cli.run(home, ['ping', node.peerId]),
      cli.run(home, ['peers']),
      cli.run(home, ['connect', node.address]),
    ])
    assert.equal(resolve.stdout, `${node.address}\n`)
    assert.match(resolve.stderr, /^source: /)
    assert.match(ping.stdout, new RegExp(`^${node.peerId}: [\\d.]+ ms\\n$`))
    assert.match(peers.stdout, /^PEER +STATE +LATENCY +HEARTBEAT +AGENT +ADDRESS\n12D3KooW\S+ +outbound +[\d.]+ ms/)
    assert.equal(connect.stdout, `connected to ${node.peerId} at ${node.address}\n`)
  })

  it('lists everything in the help of the whole', async () => {
    const [help, alias, version] = await Promise.all([
      cli.run(home, ['--help']),
      cli.run(home, ['help', 'key', 'show']),
      cli.run(home, ['--version']),
    ])
    for (const command of Object.keys(rows)) {
      assert.ok(help.stdout.includes(`\n  ${command.split(' ')[0]} `), command)
    }
    assert.match(alias.stdout, /\$ subnet key show/)
    assert.match(version.stdout, /^subnet-cli\/\d+\.\d+\.\d+ /)
  })
})
