import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'
import { NetworkNamespace, whyNoFilter } from '../support/network-namespace.ts'

const ADDRESS = '10.0.0.7'
const refusal = await whyNoFilter(`${ADDRESS}/32`)

/** Answers `block` after its event loop stood still for 5 s, and anything else never; says on stderr that a task came. */
const HANDLER = `export default (task) => {
  process.stderr.write('task ' + task.taskId + '\\n')
  if (task.taskId !== 'block') {
    return new Promise(() => {})
  }
  const until = performance.now() + 5_000
  while (performance.now() < until) {}
  return task.payload
}`

/** A command that waits for the answer to a task, with a node of its own or on the one that runs in its home. */
const NODES = ['a node of the command', 'the running node']

describe('a peer that says nothing any more', function () {
  // far below the deadline of the commands, so that no test can pass by waiting for that
  this.timeout(90_000)
  const cli = new Cli()
  let network: NetworkNamespace | undefined
  let handler: string
  /** They take their time: all at once. */
  let frozen: Promise<void>
  let dropped: Promise<void> | undefined
  let busy: Promise<void>

  before(async () => {
    handler = join(await cli.folder(), 'handler.mjs')
    await writeFile(handler, HANDLER)
    frozen = freeze()
    busy = block()
    for (const outcome of [frozen, busy]) {
      outcome.catch(() => undefined)
    }
    if (refusal == null) {
      network = await NetworkNamespace.open()
      dropped = drop(network)
      dropped.catch(() => undefined)
    }
  })

  after(async () => {
    await cli.clean()
    await network?.close()
  })

  async function homes(within: string[] = []): Promise<string[]> {
    const [own, running] = [await cli.home(), await cli.home()]
    await cli.start(running, ['--listen', '/ip4/0.0.0.0/tcp/0'], { within })
    return [own, running]
  }

  async function peer(args: string[] = [], within: string[] = []): Promise<RunningNode> {
    return cli.start(await cli.home(), ['--handler', handler, ...args], { within })
  }

  /** Both wait for an answer that never comes, until this happens to the peer. */
  async function cutOff(server: RunningNode, within: string[], happens: () => Promise<unknown>): Promise<void> {
    const sending = (await homes(within)).map((home, index) =>
      cli.launch(home, ['send-task', server.address, '--text', 'x', '--task-id', `task-${index}`, '--timeout', '8h', '--json'], { within }),
    )
    await Promise.all(sending.map(async (_, index) => server.running.says(new RegExp(`task task-${index}`))))
    await happens()
    for (const [index, { ended }] of sending.entries()) {
      const error = jsonError(await ended)
      assert.deepEqual([NODES[index], error.code, error.exit], [NODES[index], 'REMOTE_FAILED', 8], error.message)
      assert.match(error.message, /was silent for 12 s.*the peer may have acted on the request/, NODES[index])
    }
  }

  async function freeze(): Promise<void> {
    const server = await peer()
    try {
      await cutOff(server, [], async () => server.running.child.kill('SIGSTOP'))
    } finally {
      server.running.child.kill('SIGCONT')
    }
  }

  async function block(): Promise<void> {
    const server = await peer()
    const sent = (await homes()).map(async (home) =>
      cli.json<{ accepted: boolean }>(home, ['send-task', server.address, '--text', 'x', '--task-id', 'block']),
    )
    const answers = await Promise.all(sent)
    assert.deepEqual(
      answers.map(({ accepted }) => accepted),
      [true, true],
    )
  }

  async function drop(own: NetworkNamespace): Promise<void> {
    await own.addAddress(`${ADDRESS}/32`)
    const server = await peer(['--listen', `/ip4/${ADDRESS}/tcp/4001`], own.within)
    await cutOff(server, own.within, async () =>
      own.nft(
        'add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c tcp dport 4001 drop; add rule inet t c tcp sport 4001 drop',
      ),
    )
  }

  it('is noticed by a command and by a node when it is frozen', async () => frozen)

  const silence = 'is noticed by a command and by a node when the network drops all packets in silence'
  if (refusal == null) {
    it(silence, async () => dropped)
  } else {
    it.skip(`${silence} (not run, no network namespace with a packet filter here: ${refusal})`, () => undefined)
  }

  it('is waited for when it only was busy for five seconds', async () => busy)
})
