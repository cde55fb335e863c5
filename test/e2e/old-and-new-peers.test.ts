import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import * as ownSchemas from '../../src/gen/task_protocol_pb.ts'
import * as ownLibrary from '../../src/index.ts'
import { callModules, GREET } from '../support/call-modules.ts'
import { jsonError, type Outcome } from '../support/cli.ts'
import { notRun } from '../support/not-run.ts'
import { RELEASE } from '../support/old-release.ts'
import { ofUnknownSize, type SendTask, TASK, type TaskLibrary, type TaskSchemas, taskSender } from '../support/task-sender.ts'
import { BOTH_WAYS, TwoVersions, type Version } from '../support/two-versions.ts'

const OWN_STREAMS = '/test/own-streams/1.0.0'
const LARGE = 5 << 20

/** A protocol without kept streams. */
const OWN_STREAMS_MODULE = `import { ProtobufProtocol } from 'subnet-cli'
import { request, response } from './driver.mjs'

export default class OwnStreams extends ProtobufProtocol {
  constructor(node) {
    super(node, { id: '${OWN_STREAMS}', request, response, pipelined: false })
  }

  async handleRequest(_context, { name }) {
    return { text: name }
  }
}
`

interface Found {
  source: string
  multiaddrs: string[]
  verified: boolean
}

interface ChainPeer {
  peerId: string
  multiaddrs: string[]
}

describe(`peers of this version and of the release ${RELEASE}`, function () {
  this.timeout(120_000)
  let both: TwoVersions
  /** Why the library of the release cannot be run, if so. */
  let unmet: string | undefined
  let payload: Buffer
  let file: string

  before(async () => {
    both = await TwoVersions.unpack()
    unmet = await both.release.unmet()
    const folder = await both.cli['this version'].folder()
    payload = randomBytes(LARGE)
    file = join(folder, 'payload')
    await writeFile(file, payload)
    const modules = {
      'the release': await modulesOf('this version'),
      'this version': unmet == null ? await modulesOf('the release') : [],
    }
    const config = { chain: `ledger:${join(folder, 'ledger.db')}`, heartbeatInterval: '2s' }
    await both.start(config, (version) => ['--publish', ...modules[version]])
  })

  after(async () => both?.clean())

  /** Flags for protocols whose modules import the package of that version. */
  async function modulesOf(version: Version): Promise<string[]> {
    const folder = await both.cli[version].folder()
    await callModules(folder, version === 'the release' ? both.release.root : undefined)
    await writeFile(join(folder, 'own-streams.mjs'), OWN_STREAMS_MODULE)
    return ['greet.mjs', 'own-streams.mjs'].flatMap((name) => ['--protocol', join(folder, name)])
  }

  async function libraryOf(version: Version): Promise<{ library: TaskLibrary; schemas: TaskSchemas }> {
    if (version === 'this version') {
      return { library: ownLibrary, schemas: ownSchemas }
    }
    const [library, schemas] = await Promise.all(['index.js', 'gen/task_protocol_pb.js'].map(async (path) => both.release.module(path)))
    return { library: library as TaskLibrary, schemas: schemas as TaskSchemas }
  }

  /** Sends 50 small tasks, 5 MiB of known size and 5 MiB of unknown size at the same time, and compares the results. */
  async function echoes(to: Multiaddr, send: SendTask): Promise<void> {
    const small = Array.from({ length: 50 }, (_, index) => Buffer.from(`task ${index}`))
    const results = await Promise.all([...small, payload, ofUnknownSize(payload)].map(async (task) => send(to, task)))
    for (const [index, task] of [...small, payload, payload].entries()) {
      assert.ok(results[index]?.equals(task), `task ${index}`)
    }
  }

  for (const [from, to] of BOTH_WAYS) {
    it(`send tasks from ${from} to ${to}: small ones, 5 MiB of a file, and 5 MiB of stdin`, async () => {
      const [{ cli, home }, { node }] = [both.side(from), both.side(to)]
      const output = join(await cli.folder(), 'result')
      const tasks = [...Array.from({ length: 20 }, (_, index) => ({ text: `task ${index}` })), { payloadFile: file }]
      const batch = tasks.map((task) => JSON.stringify({ peer: node.peerId, ...task })).join('\n')
      const [small, large, piped, many] = await Promise.all([
        cli.run(home, ['send-task', node.peerId, '--text', 'x']),
        cli.run(home, ['send-task', node.peerId, '--payload', file, '--output', output]),
        cli.run(home, ['send-task', node.peerId, '--payload', '-'], { stdin: payload }),
        cli.run(home, ['send-task', '--batch', '-', '--concurrency', '16', '--json'], { stdin: batch }),
      ])
      for (const { code, stderr } of [small, large, piped, many]) {
        assert.equal(code, 0, stderr)
      }
      assert.equal(small.stdout, 'x')
      assert.ok(payload.equals(await readFile(output)), 'the file came back')
      assert.ok(payload.equals(piped.bytes), 'what was piped came back')
      const results = many.stdout.trimEnd().split('\n')
      const found = new Map(results.map((line) => JSON.parse(line)).map(({ index, resultBase64 }) => [index, resultBase64]))
      assert.equal(found.size, tasks.length)
      for (const [index, task] of tasks.entries()) {
        assert.ok(found.get(index) === ('text' in task ? Buffer.from(task.text) : payload).toString('base64'), `task ${index}`)
      }
    })

    it(`send tasks from the library of ${from} to ${to}, on a kept stream and on streams of their own`, async function () {
      if (unmet != null) {
        notRun(this, unmet)
      }
      const { library, schemas } = await libraryOf(from)
      const node = await library.createNode({ home: await both.cli[from].folder(), settings: { listen: [], logLevel: 'error' } })
      try {
        await node.start()
        const address = multiaddr(both.side(to).node.address)
        // a kept stream stays open, so it comes last
        for (const pipelined of [false, true]) {
          await echoes(address, taskSender({ library, schemas, node, pipelined }))
          const kept = node.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === `${TASK}/pipelined`)
          assert.equal(kept.length, pipelined ? 1 : 0)
        }
      } finally {
        await node.stop()
      }
    })

    it(`call from ${from} a protocol that a node of ${to} serves with the library of ${from}`, async function () {
      if (unmet != null) {
        notRun(this, unmet)
      }
      const [{ cli, home }, { node }] = [both.side(from), both.side(to)]
      const call = async (id: string, name: string): Promise<Outcome> =>
        cli.run(home, ['call', node.peerId, id, '--data', JSON.stringify({ name }), '--json'])
      const [greeting, own, failed] = await Promise.all([call(GREET, 'Ada'), call(OWN_STREAMS, 'Ada'), call(GREET, 'fail')])
      assert.equal(JSON.parse(greeting.stdout).text, 'Hello, Ada!')
      assert.equal(JSON.parse(own.stdout).text, 'Ada')
      assert.equal(jsonError(failed).code, 'REMOTE_FAILED')
    })

    it(`are found from ${from}: by the heartbeats of ${to}, and by asking ${to} as a neighbour`, async () => {
      const [{ cli, home, node }, other] = [both.side(from), both.side(to).node]
      const asks = ['--tier', 'neighbour', '--bootstrap', other.address]
      const [heard, asked] = await Promise.all([
        cli.json<Found>(home, ['resolve', other.peerId, '--tier', 'gossip']),
        cli.json<Found>(await cli.home(), ['resolve', node.peerId, ...asks]),
      ])
      assert.deepEqual([heard.source, heard.multiaddrs, heard.verified], ['gossip', [other.address], true])
      assert.deepEqual([asked.source, asked.multiaddrs, asked.verified], ['neighbour', [node.address], true])
    })

    it(`share a ledger that ${from} made: ${to} reads it, writes to it, and ${from} goes on`, async () => {
      const ledger = ['--chain', `ledger:${join(await both.cli[from].folder(), 'ledger.db')}`]
      const published: Array<[string, string[]]> = []
      // each version writes to a file that the other version has written
      for (const [index, version] of [from, to, from].entries()) {
        const [cli, home] = [both.cli[version], await both.cli[version].home()]
        const { peerId, multiaddrs } = await cli.json<ChainPeer>(home, ['chain', 'publish', `/ip4/192.0.2.${index}/tcp/1`, ...ledger])
        await cli.json(home, ['chain', 'register', '--class', 'validator', ...ledger])
        published.push([peerId, multiaddrs])
      }
      const peerIds = published.map(([peerId]) => peerId)
      for (const version of [from, to]) {
        const [cli, home] = [both.cli[version], await both.cli[version].home()]
        const [listed, ...shown] = await Promise.all([
          cli.json<ChainPeer[]>(home, ['chain', 'list', ...ledger]),
          ...peerIds.map(async (peerId) => cli.json(home, ['chain', 'show', peerId, ...ledger])),
        ])
        assert.deepEqual(new Map(listed.map(({ peerId, multiaddrs }) => [peerId, multiaddrs])), new Map(published))
        assert.deepEqual(
          shown.map((peer) => peer['class']),
          peerIds.map(() => 'validator'),
        )
      }
    })
  }

  it('are both on the ledger that their nodes share', async () => {
    const expected = new Map(BOTH_WAYS.map(([version]) => both.side(version).node).map(({ peerId, address }) => [peerId, [address]]))
    for (const [version] of BOTH_WAYS) {
      const { cli, home } = both.side(version)
      const listed = await cli.json<ChainPeer[]>(home, ['chain', 'list'])
      assert.deepEqual(new Map(listed.map(({ peerId, multiaddrs }) => [peerId, multiaddrs])), expected)
    }
  })
})
