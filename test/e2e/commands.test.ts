import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT_CODES } from '../../src/primitives/errors.ts'
import { Cli, jsonError, type Outcome, onlyJson, type RunningNode } from '../support/cli.ts'
import { TestHost } from '../support/protocol-host.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'

const TASK_PROTOCOL = '/subnet/task_protocol/1.0.0'
const TASK_PROTO = join(import.meta.dirname, '../../proto/task_protocol.proto')
const NOWHERE = `/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER_ID}`
const LIMIT_BYTES = 65_536
const SCREEN = { columns: 80, rows: 24 }

/** Those that commands are tried on. */
interface World {
  /** Answers with what it gets; nothing on a line `no`; never on `wait`. */
  node: RunningNode
  /** Speaks libp2p, and no task protocol. */
  mute: string
  /** Breaks every task's stream. */
  broken: string
}

/** What a command is tried with, and the fields that a script finds in its answer. */
interface Row {
  args?: (world: World) => string[]
  /** Of the answer, or of each entry where that is a list. */
  fields: string[]
  list?: true
  /** What it ends with where no node runs in the home, and where one does. @default 0 */
  alone?: number
  attached?: number
}

const PUBLISHED = ['peerId', 'multiaddrs', 'verified', 'block', 'stale', 'readAtMs']
const CHAIN_RECORD = [...PUBLISHED, 'role', 'nodeId', 'class']
const CHAIN_PEER = [...CHAIN_RECORD, 'subnetId', 'friendlyId', 'hotkey', 'coldkey', 'admission']
const KEY = ['peerId', 'type', 'file']
const PEER = [
  ...['peerId', 'alias', 'connected', 'direction', 'latencyMs', 'agent', 'protocols', 'multiaddrs', 'source', 'lastHeartbeatMs'],
  'network',
]
const PROTOCOL = ['id', 'kind', 'requestType', 'responseType']
const TASK = ['taskId', 'peerId', 'source', 'multiaddr', 'accepted', 'error', 'bytesSent', 'bytesReceived', 'attempts', 'timings']

/** A task as a call of its protocol sends it. */
function taskData(text: string): string {
  return JSON.stringify({ taskId: 'a task', payload: Buffer.from(text).toString('base64') })
}

/** In this order: what is asked for must be there. */
const rows: Record<string, Row> = {
  connect: { args: ({ node }) => [node.address], fields: ['peerId', 'multiaddr', 'direction'] },
  'alias set': { args: ({ node }) => ['bob', node.peerId], fields: ['alias', 'peerId'] },
  alias: { fields: ['alias', 'peerId'], list: true },
  'alias list': { fields: ['alias', 'peerId'], list: true },
  'alias remove': { args: () => ['nobody'], fields: ['alias', 'removed'] },
  'chain publish': { args: () => ['/ip4/192.0.2.1/tcp/1'], fields: PUBLISHED },
  'chain list': { fields: CHAIN_RECORD, list: true },
  'chain lookup': { args: () => ['bob'], fields: CHAIN_RECORD },
  'chain show': { args: () => ['bob'], fields: CHAIN_PEER },
  'chain remove': { fields: ['peerId', 'removed'] },
  'chain register': { args: () => ['--class', 'validator'], fields: ['peerId', 'registered', 'class', 'block'] },
  'chain unregister': { fields: ['peerId', 'removed'] },
  attach: { args: () => ['--script', 'script.txt'], fields: ['peerId', 'multiaddrs'], alone: 13 },
  complete: { args: () => ['subnet resolve '], fields: [], list: true },
  completion: { args: () => ['bash'], fields: ['shell', 'script'] },
  config: { fields: ['home', 'settings'] },
  'config get': { args: () => ['listen'], fields: ['key', 'value', 'source'] },
  'config set': { args: () => ['taskTimeout', '30s'], fields: ['config', 'key', 'value'] },
  'config unset': { args: () => ['task-timeout'], fields: ['config', 'key', 'removed'] },
  id: { fields: ['peerId', 'multiaddrs'] },
  init: { args: () => ['--yes', '--force'], fields: ['home', 'config', 'peerId', 'settings'] },
  backup: { args: () => ['home.backup'], fields: ['file', 'peerId', 'files', 'left'] },
  restore: { args: () => ['home.backup', '--home', 'restored'], fields: ['home', 'peerId', 'createdAtMs', 'files'] },
  'key new': { args: () => ['--key', 'new.key'], fields: KEY },
  'key show': { fields: KEY },
  'key export': { args: () => ['exported.key'], fields: KEY },
  'key import': { args: () => ['exported.key', '--key', 'imported.key'], fields: KEY },
  peers: { fields: PEER, list: true },
  ping: { args: () => ['bob', '--count', '2'], fields: ['peerId', 'source', 'multiaddr', 'roundTripsMs'] },
  bench: {
    args: () => ['bob', '--count', '3', '--duration', '900ms', '--size', '1000'],
    fields: ['peerId', 'source', 'multiaddr', 'first', 'latency', 'rate', 'transfer', 'rejection'],
  },
  resolve: { args: ({ node }) => [node.peerId], fields: ['peerId', 'multiaddrs', 'source', 'ageMs', 'verified', 'attempts'] },
  'send-task': { args: () => ['bob', '--text', 'x'], fields: [...TASK, 'resultBase64'] },
  call: { args: () => ['bob', TASK_PROTOCOL, '--data', taskData('x')], fields: ['accepted', 'result'] },
  'protocol new': { args: () => ['fresh'], fields: ['name', 'protocolId', 'folder', 'files'] },
  'protocol list': { args: () => ['bob'], fields: PROTOCOL, list: true },
  'protocol describe': {
    args: () => ['bob', TASK_PROTOCOL],
    fields: ['peerId', ...PROTOCOL, 'example', 'proto', 'fileDescriptorSetBase64'],
  },
  // what follows is told by start.test.ts
  start: {
    args: () => ['--listen', '/ip4/127.0.0.1/tcp/0'],
    fields: ['event', 'atMs', 'peerId', 'multiaddrs', 'subnetId', 'home', 'pid'],
    attached: 11,
  },
  status: {
    fields: [
      ...['healthy', 'problems', 'notices', 'peerId', 'multiaddrs', 'subnetId', 'network', 'home', 'pid', 'agent', 'uptimeMs'],
      ...['connections', 'places', 'heartbeats', 'tasks', 'book', 'chain', 'reachability', 'portMapping'],
    ],
    alone: 13,
  },
  // what follows is told by events.test.ts
  events: { fields: ['event', 'atMs', 'peerId', 'multiaddrs', 'subnetId', 'home', 'pid'], alone: 13 },
  // what is drawn on a terminal is told by top.test.ts
  top: { fields: [], alone: 2, attached: 2 },
  doctor: { fields: ['ok', 'findings'] },
  disconnect: { args: () => ['bob'], fields: ['peerId', 'connections'], alone: 13 },
  stop: { fields: ['peerId', 'pid'], alone: 13 },
}

/** One failure of each kind; `alone` where a running node refuses it earlier. */
const failures: Array<{ code: keyof typeof EXIT_CODES; args: (world: World) => string[]; alone?: true }> = [
  { code: 'USAGE', args: () => ['resolve', 'nobody'] },
  { code: 'USAGE', args: () => ['send-task', 'bob'] },
  { code: 'USAGE', args: () => ['alias', 'set', 'me', PEER_ID] },
  { code: 'USAGE', args: () => ['config', 'set', 'subnetId', 'one'] },
  { code: 'USAGE', args: () => ['config', 'get', 'subnetID'] },
  { code: 'USAGE', args: () => ['call', 'bob', TASK_PROTOCOL, '--data', '{"taskid": 1}'] },
  { code: 'USAGE', args: () => ['call', 'bob', 'task_protocol'] },
  { code: 'USAGE', args: () => ['call', 'bob'] },
  { code: 'USAGE', args: () => ['protocol', 'describe', 'bob'] },
  { code: 'USAGE', args: () => ['protocol', 'list', 'nobody'] },
  { code: 'PEER_NOT_FOUND', args: () => ['resolve', OTHER_PEER_ID] },
  { code: 'PEER_NOT_FOUND', args: () => ['send-task', OTHER_PEER_ID, '--text', 'x'] },
  { code: 'PEER_NOT_FOUND', args: () => ['ping', OTHER_PEER_ID] },
  { code: 'PEER_NOT_FOUND', args: () => ['bench', OTHER_PEER_ID, '--size', '100'] },
  { code: 'PEER_NOT_FOUND', args: () => ['chain', 'lookup', OTHER_PEER_ID] },
  { code: 'PEER_NOT_FOUND', args: () => ['chain', 'show', OTHER_PEER_ID] },
  { code: 'PEER_NOT_FOUND', args: () => ['call', OTHER_PEER_ID, TASK_PROTOCOL] },
  { code: 'UNREACHABLE', args: () => ['send-task', NOWHERE, '--text', 'x'] },
  { code: 'UNREACHABLE', args: () => ['connect', NOWHERE] },
  { code: 'UNREACHABLE', args: () => ['ping', NOWHERE] },
  { code: 'UNREACHABLE', args: () => ['bench', NOWHERE, '--size', '100'] },
  { code: 'UNREACHABLE', args: () => ['protocol', 'list', NOWHERE] },
  { code: 'UNREACHABLE', args: ({ node }) => ['ping', `/ip4/127.0.0.1/udp/1/p2p/${node.peerId}`] },
  { code: 'PROTOCOL_UNSUPPORTED', args: ({ mute }) => ['send-task', mute, '--text', 'x'] },
  { code: 'PROTOCOL_UNSUPPORTED', args: ({ mute }) => ['bench', mute, '--size', '100'] },
  { code: 'PROTOCOL_UNSUPPORTED', args: ({ mute }) => ['call', mute, TASK_PROTOCOL] },
  { code: 'PROTOCOL_UNSUPPORTED', args: ({ mute }) => ['protocol', 'describe', mute, TASK_PROTOCOL] },
  { code: 'PROTOCOL_UNSUPPORTED', args: () => ['call', 'bob', '/none/1.0.0'] },
  { code: 'TIMEOUT', args: () => ['send-task', 'bob', '--text', 'wait', '--timeout', '3s'] },
  { code: 'TIMEOUT', args: () => ['call', 'bob', TASK_PROTOCOL, '--data', taskData('wait'), '--timeout', '3s'] },
  { code: 'REMOTE_FAILED', args: ({ broken }) => ['send-task', broken, '--text', 'x'] },
  { code: 'REMOTE_FAILED', args: ({ broken }) => ['bench', broken, '--size', '100'] },
  { code: 'REMOTE_FAILED', args: ({ broken }) => ['call', broken, TASK_PROTOCOL, '--proto', TASK_PROTO] },
  { code: 'LIMIT_EXCEEDED', args: () => ['send-task', 'bob', '--text', 'x'.repeat(LIMIT_BYTES + 1)] },
  { code: 'LIMIT_EXCEEDED', args: () => ['bench', 'bob', '--size', String(LIMIT_BYTES)] },
  { code: 'LIMIT_EXCEEDED', args: () => ['call', 'bob', TASK_PROTOCOL, '--data', taskData('x'.repeat(LIMIT_BYTES))] },
  { code: 'CHAIN_UNAVAILABLE', args: () => ['chain', 'list', '--chain', 'ledger:no.db'], alone: true },
  { code: 'CHAIN_UNAVAILABLE', args: () => ['resolve', OTHER_PEER_ID, '--tier', 'chain', '--chain', 'ledger:no.db'], alone: true },
]

async function commandFiles(folder = join(import.meta.dirname, '../../src/commands'), topic: string[] = []): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const found = entries.map(async (entry) =>
    entry.isDirectory()
      ? commandFiles(join(folder, entry.name), [...topic, entry.name])
      : [[...topic, entry.name.replace(/\.ts$/, '')].join(' ')],
  )
  return (await Promise.all(found)).flat()
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

function checkAnswer(answer: unknown, { fields, list }: { fields: string[]; list: true | undefined }): void {
  const entries = list === true ? (answer as Array<object | string>) : [answer as object]
  assert.ok(entries.length > 0)
  for (const entry of entries) {
    assert.deepEqual(typeof entry === 'string' ? [] : Object.keys(entry).sort(), [...fields].sort())
    const { multiaddr, multiaddrs = [multiaddr] } = entry as { multiaddr?: string; multiaddrs?: string[] }
    assert.ok(multiaddrs.every((address) => address == null || /\/p2p\/\w+$/.test(address)))
  }
}

describe('every command', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const hosts: TestHost[] = []
  let world: World

  before(async () => {
    const folder = await cli.folder()
    const handler = 'sh:t=$(cat); case "$t" in wait) sleep 600;; no) exit 1;; *) printf %s "$t";; esac'
    const chain = `ledger:${folder}/ledger.db`
    const starting = cli.start(await cli.home(), ['--handler', handler, '--chain', chain, '--publish'])
    const [node, mute, broken] = await Promise.all([starting, TestHost.start(), TestHost.start()])
    await broken.answer(TASK_PROTOCOL, (stream) => stream.abort(new Error('no')))
    hosts.push(mute, broken)
    world = { node, mute: String(mute.libp2p.getMultiaddrs()[0]), broken: String(broken.libp2p.getMultiaddrs()[0]) }
  })

  after(async () => {
    await Promise.all([cli.clean(), ...hosts.map(async (host) => host.stop())])
  })

  async function homeOf(folder: string): Promise<string> {
    const home = await cli.home({
      bootstrap: [world.node.address],
      chain: `ledger:${folder}/ledger.db`,
      maxFrameBytes: LIMIT_BYTES,
      listen: ['/ip4/127.0.0.1/tcp/0'],
    })
    await seedFile(join(home, 'identity.key'))
    await writeFile(join(folder, 'script.txt'), 'id\n')
    await writeFile(join(folder, 'no.db'), `no database, but ${'long enough to be one '.repeat(100)}`)
    return home
  }

  it('has its row here', async () => {
    assert.deepEqual((await commandFiles()).sort(), Object.keys(rows).sort())
  })

  it('ends here with every code but those of a bug and of who is not admitted', () => {
    const codes = [
      ...failures.map(({ code }) => EXIT_CODES[code]),
      ...Object.values(rows).flatMap(({ alone, attached }) => [alone, attached]),
    ]
    // 7 is a test of its own: it has an answer too
    const missing = Object.values(EXIT_CODES).filter((code) => ![...codes, 7].includes(code))
    assert.deepEqual(missing, [EXIT_CODES.INTERNAL, EXIT_CODES.NOT_ADMITTED])
  })

  for (const mode of ['alone', 'attached'] as const) {
    describe(mode === 'alone' ? 'on a node of its own' : 'on the node that runs in its home', () => {
      let home: string
      let folder: string

      before(async () => {
        folder = await cli.folder()
        home = await homeOf(folder)
        if (mode === 'attached') {
          const attached = await cli.start(home)
          await attached.running.event('peer:connect', ({ peerId }) => peerId === world.node.peerId)
        }
        await cli.json(await cli.home({ chain: `ledger:${folder}/ledger.db` }), ['chain', 'publish', world.node.address], {
          env: { SUBNET_KEY: join(String(world.node.ready['home']), 'identity.key') },
        })
        await cli.json(home, ['alias', 'set', 'bob', world.node.peerId])
      })

      async function failed(args: string[], code: keyof typeof EXIT_CODES): Promise<void> {
        const [json, words] = await Promise.all([cli.run(home, [...args, '--json'], { cwd: folder }), cli.run(home, args, { cwd: folder })])
        const error = jsonError(json)
        assert.deepEqual(
          { code: error.code, exit: error.exit, status: json.code },
          { code, exit: EXIT_CODES[code], status: EXIT_CODES[code] },
        )
        assert.equal(json.stderr, '')
        assert.ok(error.message.length > 0 && !error.message.includes('\n'))
        assert.deepEqual({ code: words.code, stdout: words.stdout }, { code: json.code, stdout: '' })
        assert.match(words.stderr, /^error: .+\n(hint: .+\n)?$/)
      }

      async function answered(args: string[]): Promise<Outcome> {
        const running = cli.launch(home, [...args, '--json'], { cwd: folder })
        if (args[0] === 'start' && mode === 'alone') {
          await running.event('ready')
          await running.signal('SIGTERM')
        }
        if (args[0] === 'events' && mode === 'attached') {
          await running.prints(/"ready"/)
          return { ...(await running.signal('SIGINT')), code: 0 }
        }
        return running.ended
      }

      for (const { code, args } of failures.filter(({ alone }) => mode === 'alone' || alone == null)) {
        it(`fails with ${EXIT_CODES[code]}, ${code}: ${args({ node: { address: '' }, mute: 'MUTE', broken: 'BROKEN' } as World)
          .join(' ')
          .slice(0, 80)}`, async () => failed(args(world), code))
      }

      it('prints the answer of a task that was rejected, and ends with 7', async () => {
        const outcome = await cli.run(home, ['send-task', 'bob', '--text', 'no', '--json'])
        assert.deepEqual({ code: outcome.code, stderr: outcome.stderr }, { code: 7, stderr: '' })
        const { accepted, error } = onlyJson(outcome)
        assert.equal(accepted, false)
        assert.equal((error as { code: string }).code, 'TASK_REJECTED')
      })

      for (const [command, { args, fields, list, ...ends }] of Object.entries(rows)) {
        const words = command.split(' ')
        const exit = ends[mode] ?? 0

        it(`refuses what it does not know: ${command}`, async () => {
          await failed([...words, '--frobnicate'], 'USAGE')
          await failed([...words, ...(args?.(world) ?? []), 'too', 'many'], 'USAGE')
        })

        it(`answers in JSON, ${exit === 0 ? 'with the fields of the contract' : `that it ends with ${exit}`}: ${command}`, async () => {
          const outcome = await answered([...words, ...(args?.(world) ?? [])])
          assert.equal(outcome.code, exit, outcome.stdout)
          assert.ok(!outcome.stderr.split('\n').some(isJson), outcome.stderr)
          if (exit === 0) {
            checkAnswer(['start', 'events'].includes(command) ? JSON.parse(outcome.stdout.split('\n')[0] as string) : onlyJson(outcome), {
              fields,
              list,
            })
          } else {
            assert.equal(EXIT_CODES[jsonError(outcome).code as keyof typeof EXIT_CODES], exit)
          }
        })
      }
    })
  }

  it('that streams prints a line of JSON for each event: peers --watch, send-task --batch', async () => {
    const home = await homeOf(await cli.folder())
    const watching = cli.launch(home, ['peers', '--watch', '--json'])
    await watching.prints(/"event":"peer:connect"/)
    const watched = await watching.signal('SIGINT')
    assert.deepEqual({ signal: watched.signal, stderr: watched.stderr }, { signal: 'SIGINT', stderr: '' })
    const lines = ['{"text":"a","taskId":"1"}', '{"text":', '{"text":"no"}'].join('\n')
    const batch = await cli.run(home, ['send-task', world.node.address, '--batch', '-', '--concurrency', '1', '--json'], { stdin: lines })
    assert.equal(batch.code, 2)
    assert.ok(!batch.stderr.split('\n').some(isJson), batch.stderr)
    for (const { stdout } of [watched, batch]) {
      assert.ok(stdout.endsWith('\n'))
      assert.ok(stdout.trimEnd().split('\n').every(isJson), stdout)
    }
    const results = batch.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(
      results.map(({ index, error }) => [index, error?.code ?? null]),
      [
        [0, null],
        [1, 'USAGE'],
        [2, 'TASK_REJECTED'],
      ],
    )
  })

  for (const [words, message, hint] of [
    [['frobnicate'], 'unknown command "frobnicate"', /--help/],
    [['send-tsak'], 'unknown command "send-tsak"', /did you mean "send-task"\?/],
    [['chain', 'lokup'], 'unknown command "chain lokup"', /did you mean "chain lookup"\?/],
    [['completon'], 'unknown command "completon"', /did you mean "completion"\?/],
    [['resolve', 'x', '--teir', 'chain'], 'unknown flag --teir', /did you mean --tier\?/],
    [['completion', 'tcsh'], '"tcsh" is not valid; expected one of bash, zsh, fish', /subnet completion --help/],
    [['completion'], 'missing <shell>', /bash, zsh or fish/],
    [['key', '--home', '.', 'show'], '"key" needs a subcommand', /export, import, new, show, then flags/],
    [['alias', 'lst'], 'unknown command "alias lst"', /did you mean "alias list"\?/],
    [['help', 'alias', 'lst'], 'unknown command "alias lst"', /did you mean "alias list"\?/],
    [['send-task', 'bob', '--batch', 'x', '--output', 'secret'], '--output and --batch do not go together', /subnet send-task --help/],
    [['send-task', 'bob', '--text', 'x', '--concurrency', '3'], '--concurrency needs --batch', /subnet send-task --help/],
    [['init', '--handler', 'Echo'], 'no such handler: "Echo"', /echo, upper/],
    [['init', '--chain', 'zz'], 'unknown kind of chain: its URL begins neither with ledger: nor with hypertensor:', /ledger:/],
    [['init', '--handler', "exec:'x"], "handler exec:'x: the quote ' at character 1 is not closed", /sh:COMMAND/],
  ] as Array<[string[], string, RegExp]>) {
    it(`that is none is an error in JSON, and says what was meant: ${words.join(' ')}`, async () => {
      const home = await cli.home()
      const outcome: Outcome = await cli.run(home, [...words, '--json'])
      const error = jsonError(outcome)
      assert.deepEqual({ code: outcome.code, stderr: outcome.stderr, message: error.message }, { code: 2, stderr: '', message })
      assert.match(error.hint ?? '', hint)
    })
  }

  for (const command of Object.keys(rows)) {
    it(`has help that fits a screen, with two examples: ${command}`, async () => {
      const home = await cli.home()
      const { code, stdout, stderr } = await cli.run(home, [...command.split(' '), '--help'])
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
      const lines = stdout.trimEnd().split('\n')
      const height = lines.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / SCREEN.columns)), 0)
      assert.ok(height <= SCREEN.rows, `${height} lines:\n${stdout}`)
      const examples = lines.slice(lines.indexOf('EXAMPLES') + 1)
      assert.ok(examples.length >= 2 && examples.every((line) => /^ {2}\$ /.test(line) && line.includes(`subnet ${command}`)), stdout)
      for (const flag of ['--json', '--home', '--timeout', '--log-level', '--no-color']) {
        assert.ok(stdout.includes(flag), `${flag} in ${stdout}`)
      }
    })
  }

  it('answers in JSON about itself too', async () => {
    const home = await cli.home()
    for (const [args, field] of [
      [['--help'], 'help'],
      [['help', 'peers'], 'help'],
      [['chain', '--help'], 'help'],
      [['--version'], 'version'],
    ] as Array<[string[], string]>) {
      const outcome = await cli.run(home, [...args, '--json'])
      assert.deepEqual({ code: outcome.code, stderr: outcome.stderr }, { code: 0, stderr: '' })
      assert.equal(typeof onlyJson(outcome)[field], 'string')
    }
  })

  it('speaks to people without --json: the answer on stdout, the rest on stderr', async () => {
    const { node } = world
    const home = await homeOf(await cli.folder())
    const [resolve, ping, peers, connect] = await Promise.all([
      cli.run(home, ['resolve', node.peerId]),
      cli.run(home, ['ping', node.peerId]),
      cli.run(home, ['peers']),
      cli.run(home, ['connect', node.address]),
    ])
    assert.equal(resolve.stdout, `${node.address}\n`)
    assert.match(resolve.stderr, /^source: /)
    assert.match(ping.stdout, new RegExp(`^${node.peerId}: (< 1|[\\d.]+) ms\\n$`))
    assert.match(peers.stdout, /^PEER +STATE +LATENCY +HEARTBEAT +AGENT +ADDRESS\n12D3KooW\S+ +outbound +(< 1|[\d.]+) ms/)
    assert.equal(connect.stdout, `connected to ${node.peerId} at ${node.address}\n`)
  })

  it('tells who did not find a peer that the ledger of the home is read by no other node', async () => {
    const [own, shared] = [await cli.home(), await cli.folder()]
    for (const [chain, isOwn] of [
      [[], true],
      [['--chain', `ledger:${join(own, 'ledger.db')}`], true],
      [['--chain', `ledger:${join(shared, 'ledger.db')}`], false],
    ] as Array<[string[], boolean]>) {
      const { hint } = jsonError(await cli.run(own, ['resolve', OTHER_PEER_ID, ...chain, '--json']))
      assert.equal(
        hint?.startsWith('the chain of this node is the ledger in its home, which no other node reads: use --chain'),
        isOwn,
        hint,
      )
    }
  })

  it('is in the help of the whole, but for those that no person needs', async () => {
    const home = await cli.home()
    const [help, show, version] = await Promise.all([
      cli.run(home, ['--help']),
      cli.run(home, ['help', 'key', 'show']),
      cli.run(home, ['--version']),
    ])
    for (const command of Object.keys(rows)) {
      assert.equal(help.stdout.includes(`\n  ${command.split(' ')[0]} `), command !== 'complete', command)
    }
    assert.match(show.stdout, /\$ subnet key show/)
    assert.match(version.stdout, /^subnet-cli\/\d+\.\d+\.\d+ /)
  })
})
