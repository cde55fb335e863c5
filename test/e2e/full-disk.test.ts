import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode, until } from '../support/cli.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'
import { onSmallDisk, SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts'

const refusal = await whyNoSmallDisk()

interface Status {
  healthy: boolean
  problems: Array<{ code: string; message: string }>
}

describe('a disk that is full', function () {
  this.timeout(120_000)
  const cli = new Cli()

  afterEach(async () => cli.clean())

  async function onDisk(work: (disk: SmallDisk) => Promise<void>): Promise<void> {
    const disk = await SmallDisk.open()
    try {
      await work(disk)
    } finally {
      await cli.clean()
      await disk.close()
    }
  }

  onSmallDisk(refusal, 'is what each command says that writes, and the home is whole when there is room again', async () => {
    await onDisk(async (disk) => {
      const home = join(disk.path, 'home')
      const [fresh, ledger] = [join(disk.path, 'fresh'), join(home, 'ledger.db')]
      await mkdir(fresh)
      await cli.json(home, ['alias', 'set', 'bob', OTHER_PEER_ID])
      const { peerId } = await cli.json(home, ['id'])
      await disk.fill()
      const commands: Array<[string[], number, string]> = [
        [['id', '--home', fresh], 2, join(fresh, 'identity.key')],
        [['alias', 'set', 'ann', OTHER_PEER_ID], 2, join(home, 'node.db')],
        [['alias', 'list'], 2, join(home, 'node.db')],
        [['init'], 2, join(home, 'config.json')],
        [['key', 'new', '--key', join(disk.path, 'new.key')], 2, join(disk.path, 'new.key')],
        [['key', 'export', join(disk.path, 'copy.key')], 2, join(disk.path, 'copy.key')],
        [['chain', 'register'], 10, ledger],
        [['chain', 'publish', '/ip4/127.0.0.1/tcp/1'], 10, ledger],
        [['start', '--listen', '/ip4/127.0.0.1/tcp/0'], 2, home],
      ]
      for (const [command, exit, file] of commands) {
        const outcome = await cli.run(home, [...command, '--json'])
        const error = jsonError(outcome)
        assert.deepEqual([outcome.code, error.exit], [exit, exit], `${command.join(' ')}: ${outcome.stdout}`)
        assert.match(error.message, /the disk is full/)
        assert.ok(error.message.includes(file), `${command.join(' ')}: ${error.message}`)
        assert.doesNotMatch(`${error.message} ${error.hint}`, /bug|move it away|remove it/)
      }
      await disk.makeRoom()
      assert.deepEqual(await cli.json(home, ['alias', 'list']), [{ alias: 'bob', peerId: OTHER_PEER_ID }])
      assert.equal((await cli.json(home, ['id']))['peerId'], peerId)
    })
  })

  onSmallDisk(refusal, 'makes a node that runs unhealthy, which serves on, and is healthy again when there is room', async () => {
    await onDisk(async (disk) => {
      const home = join(disk.path, 'home')
      const caller = await cli.home()
      const node = await cli.start(home, ['--handler', 'echo', '--heartbeat-interval', '500ms', '--log-level', 'warn'])
      assert.equal((await statusOf(home)).healthy, true)
      await disk.fill()
      await warns(node, /cannot write the address book.*the disk is full/)
      const outcome = await cli.run(home, ['status', '--json'])
      const { healthy, problems }: Status = JSON.parse(outcome.stdout)
      assert.equal(healthy, false)
      assert.notEqual(outcome.code, 0)
      assert.match(problems.map(({ message }) => message).join(), /node\.db cannot be written: the disk is full/)
      const task = await cli.json(caller, ['send-task', node.address, '--text', 'still here'])
      assert.equal(task['accepted'], true)
      await disk.makeRoom()
      await until(async () => (await statusOf(home)).healthy, 'healthy again')
      assert.equal((await node.stop()).code, 0)
      assert.equal(node.running.stderr.match(/cannot write the address book/g)?.length, 1, node.running.stderr)
    })
  })

  async function statusOf(home: string): Promise<Status> {
    return JSON.parse((await cli.run(home, ['status', '--json'])).stdout)
  }

  async function warns({ running }: RunningNode, text: RegExp): Promise<void> {
    while (!text.test(running.stderr)) {
      await Promise.race([once(running.child.stderr as never, 'data'), running.ended.then(() => assert.fail('the node ended'))])
    }
  }
})
