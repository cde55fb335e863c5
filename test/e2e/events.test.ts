import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Cli, type CliEvent, jsonError, type RunningNode } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /

/** The lines of `events --json`, as they were printed. */
function eventsOf(stdout: string): CliEvent[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CliEvent)
}

/** Asks for events as any Connect client may. */
async function ask(home: string, request: object): Promise<Socket> {
  const socket = connect(join(home, 'node.sock'))
  await once(socket, 'connect')
  const body = Buffer.from(JSON.stringify(request))
  const envelope = Buffer.concat([Buffer.from([0, 0, 0, 0, body.byteLength]), body])
  const headers = [
    'host: node',
    'connect-protocol-version: 1',
    'content-type: application/connect+json',
    `content-length: ${envelope.byteLength}`,
  ]
  socket.write(`POST /subnet.control.v1.ControlService/Events HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
  socket.write(envelope)
  return socket
}

describe('the events of a running node', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let home: string
  let node: RunningNode
  let worker: RunningNode
  const terminals: Terminal[] = []

  before(async () => {
    home = await cli.home({ listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [] })
    const handler = 'sh:t=$(cat); case "$t" in no) echo why >&2; exit 3;; esac; printf %s "$t"'
    ;[node, worker] = await Promise.all([
      cli.start(home, ['--handler', handler]),
      cli.start(await cli.home(), ['--handler', 'sh:echo out of paint >&2; exit 4']),
    ])
  })

  after(async () => {
    await Promise.all(terminals.map(async (terminal) => terminal.end()))
    await cli.clean()
  })

  function terminal(args: string[], options: { columns?: number; rows?: number } = {}): Terminal {
    const opened = new Terminal(home, args, options)
    terminals.push(opened)
    return opened
  }

  it('are followed, tasks in and out with their reasons, until Ctrl-C', async () => {
    const following = cli.launch(home, ['events', '--json'])
    await following.prints(/"event":"ready"/)
    const other = await cli.home()
    const rejected = await cli.run(other, ['send-task', node.address, '--text', 'no', '--task-id', 'in', '--json'])
    const sent = await cli.run(home, ['send-task', worker.address, '--text', 'x', '--task-id', 'out', '--json'])
    const lost = await cli.run(home, ['send-task', OTHER_PEER_ID, '--text', 'x', '--task-id', 'lost', '--json'])
    assert.deepEqual([rejected.code, sent.code, lost.code], [7, 7, 3])
    await following.prints(/"taskId":"lost"/)
    const { signal, stdout, stderr } = await following.signal('SIGINT')
    assert.deepEqual({ signal, stderr }, { signal: 'SIGINT', stderr: '' })
    const events = eventsOf(stdout)
    assert.equal(events[0]?.event, 'ready')
    assert.ok(
      events.every(({ atMs }, index) => index === 0 || (Number.isSafeInteger(atMs) && atMs >= (events[index - 1] as CliEvent).atMs)),
    )
    const task = events.find(({ event }) => event === 'task') as CliEvent
    const { ms: _, atMs: __, peerId: caller, ...told } = task
    const expected = { event: 'task', taskId: 'in', accepted: false, payloadBytes: 2, reason: 'exit-code', detail: 'exited with 3: why' }
    assert.deepEqual(told, expected)
    assert.ok(events.some(({ event, peerId }) => event === 'peer:connect' && peerId === caller))
    const [out, failed] = events.filter(({ event }) => event === 'task:sent') as [CliEvent, CliEvent]
    assert.deepEqual(
      [out['taskId'], out['peerId'], out['outcome'], out['source'], out['retries']],
      ['out', worker.peerId, 'rejected', 'given', 0],
    )
    assert.match(String(out['detail']), /exited with 4: out of paint/)
    assert.deepEqual([failed['taskId'], failed['outcome'], failed['reason']], ['lost', 'failed', 'PEER_NOT_FOUND'])
    const tiers = (list: unknown): string[] =>
      (list as Array<{ tier: string; outcome: string }>).map(({ tier, outcome }) => `${tier} ${outcome}`)
    assert.deepEqual(tiers(failed['attempts']), ['gossip miss', 'neighbour miss', 'chain miss'])
    const looked = events.find(({ event, peerId }) => event === 'resolve' && peerId === OTHER_PEER_ID) as CliEvent
    assert.deepEqual([looked['found'], tiers(looked['attempts'])], [false, tiers(failed['attempts'])])
    // on the other side of the task that this node sent
    const theirs = await worker.running.event('task', ({ taskId }) => taskId === 'out')
    assert.deepEqual([theirs['reason'], theirs['detail']], ['exit-code', 'exited with 4: out of paint'])
    assert.ok(!('payloadBytes' in theirs), 'start prints what it always did')
    const counted = await cli.json<{ tasks: { rejections: unknown; lastRejections: Array<Record<string, unknown>> } }>(home, ['status'])
    assert.deepEqual(counted.tasks.rejections, [{ reason: 'exit-code', count: 1 }])
    const [last] = counted.tasks.lastRejections
    assert.deepEqual([last?.['taskId'], last?.['reason'], last?.['detail']], ['in', 'exit-code', 'exited with 3: why'])
    const { stdout: status } = await cli.run(home, ['status'])
    assert.match(status, /^rejected +1 exit-code\nrejected +.* ago, task in of \S+: exit-code, exited with 3: why$/m)
  })

  it('are shown from before, those of some types, as lines with their time', async () => {
    const following = cli.launch(home, ['events', '--since', '10m', '--type', 'task', '--type', 'problem'])
    await following.prints(/\n.*\n.*\n/)
    const { stdout } = await following.signal('SIGINT')
    const lines = stdout.trimEnd().split('\n')
    assert.ok(lines.every((line) => ISO.test(line)))
    assert.deepEqual(
      lines.map((line) =>
        line
          .replace(ISO, '')
          .replace(/12D3KooW\S+/g, 'PEER')
          .replace(/[\d.]+ m?s\b/g, 'TIME'),
      ),
      [
        'task in of PEER rejected (exit-code: exited with 3: why) in TIME, payload 2 B',
        'task out to PEER rejected in TIME, payload 1 B, given: the handler exited with 4: out of paint',
      ].concat(
        lines.slice(2).map((line) =>
          line
            .replace(ISO, '')
            .replace(/12D3KooW\S+/g, 'PEER')
            .replace(/[\d.]+ m?s\b/g, 'TIME'),
        ),
      ),
    )
    assert.match(lines[2] ?? '', /task lost to .* failed \(PEER_NOT_FOUND\)/)
  })

  it('of a type that is none are a usage error that names the types; without a node 13', async () => {
    const wrong = await cli.run(home, ['events', '--type', 'tasks', '--json'])
    assert.equal(wrong.code, 2)
    assert.match(jsonError(wrong).message, /"tasks" is not valid; expected one of .*task, task:sent, .*problem:begin/)
    for (const args of [['events'], ['attach']]) {
      assert.equal((await cli.run(await cli.home(), args)).code, 13)
    }
  })

  it('end with the node, and tell of problems that begin and end', async () => {
    const seed = await cli.start(await cli.home())
    const troubled = await cli.home({ bootstrap: [seed.address] })
    const other = await cli.start(troubled)
    await other.running.event('peer:connect')
    const following = cli.launch(troubled, ['events', '--json', '--type', 'ready', '--type', 'problem', '--type', 'stopping'])
    await following.prints(/"event":"ready"/)
    await seed.stop()
    await following.prints(/"problem:begin".*no connected peer/)
    await cli.json(troubled, ['connect', node.address])
    await following.prints(/"problem:end".*no connected peer/)
    await other.stop()
    const { code, stdout } = await following.ended
    assert.deepEqual([code, eventsOf(stdout).at(-1)?.event], [0, 'stopping'])
  })

  it('cost a client that does not read what its socket holds, and it is told what it missed', async () => {
    const busy = await cli.home()
    const { address } = await cli.start(busy, ['--handler', 'echo'])
    const socket = await ask(busy, { all: true })
    await once(socket, 'readable')
    const tasks = Array.from({ length: 16_000 }, (_, index) => JSON.stringify({ text: 'x', taskId: `${index} ${'t'.repeat(200)}` })).join(
      '\n',
    )
    const batch = ['send-task', address, '--batch', '-', '--concurrency', '64', '--json']
    assert.equal((await cli.run(await cli.home(), batch, { stdin: tasks })).code, 0)
    let read = ''
    socket.setEncoding('latin1').on('data', (text) => {
      read += text
    })
    const giveUpAtMs = Date.now() + 60_000
    while (!/15999 ttt/.test(read)) {
      assert.ok(Date.now() < giveUpAtMs, 'the last task is told')
      await delay(50)
    }
    socket.destroy()
    const [, missed] = /\\"event\\":\\"missed\\",\\"atMs\\":\d+,\\"count\\":(\d+)/.exec(read) ?? assert.fail('nothing was missed')
    const told = read.match(/\\"event\\":\\"task\\"/g)?.length ?? 0
    assert.ok(Number(missed) > 1_000 && told >= 10_000, `${missed} missed, ${told} told`)
    assert.ok(Number(missed) + told >= 16_000 && Number(missed) + told < 16_050, `${missed} missed, ${told} told`)
  })

  it('come one by one, as "start" prints them, to a client of an earlier version', async () => {
    const socket = await ask(home, {})
    let read = ''
    socket.setEncoding('latin1').on('data', (text) => {
      read += text
    })
    await once(socket, 'data')
    const answered = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'no', '--task-id', 'old'])
    assert.equal(answered.code, 7)
    while (!read.includes('peer:disconnect')) {
      await once(socket, 'data')
    }
    socket.destroy()
    const events = [...read.matchAll(/\{"json":("(?:[^"\\]|\\.)*")\}/g)].map(([, json]) => JSON.parse(JSON.parse(String(json))) as CliEvent)
    assert.deepEqual(
      events.map(({ event }) => event),
      ['ready', 'peer:connect', 'task', 'peer:disconnect'],
    )
    assert.deepEqual(Object.keys(events[2] as CliEvent), ['event', 'atMs', 'taskId', 'peerId', 'accepted', 'ms', 'reason', 'detail'])
  })

  for (const [columns, rows] of [
    [80, 24],
    [120, 40],
  ] as const) {
    it(`follow in a shell that is attached to the node, which goes on: ${columns}×${rows}`, async () => {
      const shell = terminal(['attach'], { columns, rows })
      await shell.shows(/attached to 12D3/)
      await shell.prompt()
      shell.type('peers')
      await shell.prompt('peers')
      const caller = await cli.home()
      await cli.run(caller, ['send-task', node.address, '--text', 'no', '--task-id', `above ${columns}`])
      await shell.shows(new RegExp(`task above ${columns} of \\S+: rejected`))
      await shell.prompt('peers')
      shell.type('\r')
      await shell.shows(/no peers are connected|PEER +STATE/)
      await shell.prompt()
      shell.type('events --type task\r')
      await cli.run(caller, ['send-task', node.address, '--text', 'x', '--task-id', `within ${columns}`])
      await shell.shows(new RegExp(`^\\d\\d:\\d\\d:\\d\\d task within\\s+${columns}`, 'm'))
      shell.type('\u0003')
      await shell.prompt()
      assert.equal(shell.screen.text.match(new RegExp(`task within\\s+${columns}`, 'g'))?.length, 1, shell.screen.text)
      shell.type('se\t')
      await shell.prompt('send-task')
      shell.type('\u0015\u001b[A')
      await shell.prompt('events --type task')
      shell.type('\u0015\u0004')
      assert.equal(await shell.ended, 0)
      assert.equal((await cli.json(home, ['id']))['peerId'], node.peerId)
    })
  }

  it('run the lines of a script on the node, which goes on', async () => {
    const script = ['attach', '--script', '-', '--json']
    const { code, stdout } = await cli.run(home, script, {
      stdin: 'id\nalias set w 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb\nexit\nstop\n',
    })
    assert.equal(code, 0)
    assert.deepEqual(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => Object.keys(JSON.parse(line))),
      [
        ['peerId', 'multiaddrs'],
        ['alias', 'peerId'],
      ],
    )
    const failed = await cli.run(home, ['attach', '--script', '-'], { stdin: 'resolve nobody\nid\n' })
    assert.deepEqual([failed.code, failed.stdout], [2, ''])
    assert.equal((await cli.run(home, ['attach'])).code, 2)
    assert.equal((await cli.json(home, ['id']))['peerId'], node.peerId)
  })

  it('end a shell that is attached when the node goes: by its own "stop", by another, by a kill', async () => {
    for (const how of ['its own', 'another', 'kill'] as const) {
      const gone = await cli.home()
      const running = await cli.start(gone)
      const shell = new Terminal(gone, ['attach'])
      terminals.push(shell)
      await shell.prompt()
      if (how === 'its own') {
        shell.type('stop\r')
      } else {
        await (how === 'kill' ? running.running.signal('SIGKILL') : running.stop())
      }
      assert.equal(await shell.ended, how === 'kill' ? 13 : 0, shell.screen.text)
      assert.match(shell.screen.text, how === 'kill' ? /error: the node of .* ended before it answered/ : /the node has stopped/)
    }
  })

  it('warn at start of a program that is not there, and the task is rejected for that', async () => {
    const outcome = await cli.start(await cli.home(), ['--handler', 'exec:/no/such/program -x'])
    await outcome.running.says(/warn: the handler's program \/no\/such\/program does not exist: tasks are rejected until it can be run/)
    const rejected = await cli.run(await cli.home(), ['send-task', outcome.address, '--text', 'x', '--json'])
    assert.equal(rejected.code, 7)
    assert.equal((await outcome.running.event('task'))['reason'], 'handler-missing')
    const init = await cli.run(await cli.home(), ['init', '--yes', '--handler', 'exec:no-such-program'])
    assert.equal(init.code, 0)
    assert.match(init.stderr, /^warning: the handler's program no-such-program is not in PATH/m)
  })
})
