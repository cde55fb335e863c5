import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Cli } from '../support/cli.ts'
import { notRun } from '../support/not-run.ts'

const UNIT = join(import.meta.dirname, '../../deploy/systemd/subnet.service')
const STAND_IN = join(import.meta.dirname, '../support/notify-socket.py')

function has(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error == null
}

/** Hears what a service tells its manager. */
class Manager {
  readonly heard: string[] = []
  readonly socket: string
  readonly #child: ChildProcess
  readonly #news = new EventTarget()

  static async start(folder: string): Promise<Manager> {
    const manager = new Manager(join(folder, 'notify'))
    await manager.hears('listening')
    return manager
  }

  private constructor(socket: string) {
    this.socket = socket
    this.#child = spawn('python3', [STAND_IN, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface(this.#child.stdout as NodeJS.ReadableStream).on('line', (line) => {
      this.heard.push(line)
      this.#news.dispatchEvent(new Event('line'))
    })
  }

  /** Waits until it has heard this so many times. */
  async hears(line: string, times = 1): Promise<void> {
    while (this.heard.filter((each) => each === line).length < times) {
      await once(this.#news, 'line')
    }
  }

  stop(): void {
    this.#child.kill()
  }
}

describe('a node as a service', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const managers: Manager[] = []

  after(async () => {
    for (const manager of managers) {
      manager.stop()
    }
    await cli.clean()
  })

  async function manager(context: Mocha.Context): Promise<Manager> {
    if (!has('systemd-notify') || !has('python3')) {
      notRun(context, 'there is no systemd-notify, or no python3 for the stand-in of its socket')
    }
    const made = await Manager.start(await cli.folder())
    managers.push(made)
    return made
  }

  it('tells its manager that it is ready, that it still works, and that it stops', async function () {
    const listening = await manager(this)
    const node = await cli.start(await cli.home(), [], { env: { NOTIFY_SOCKET: listening.socket, WATCHDOG_USEC: '400000' } })
    await listening.hears('READY=1')
    await listening.hears('WATCHDOG=1', 3)
    assert.equal((await node.running.signal('SIGTERM')).code, 0)
    await listening.hears('STOPPING=1')
    assert.deepEqual(
      listening.heard.filter((line) => !/^(WATCHDOG|READY|STOPPING|BARRIER)=1$|^listening$/.test(line)),
      [],
    )
  })

  it('is not ready before it answers, and stops telling once its event loop stands still', async function () {
    const listening = await manager(this)
    const module = join(await cli.folder(), 'stands-still.mjs')
    await writeFile(module, 'export default () => { for (;;) { /* for ever */ } }')
    const env = { NOTIFY_SOCKET: listening.socket, WATCHDOG_USEC: '200000' }
    const taken = await cli.start(await cli.home())
    const refused = await cli.run(String(taken.ready['home']), ['start', '--json'], { env })
    assert.equal(refused.code, 11)
    const node = await cli.start(await cli.home(), ['--handler', module], { env })
    await listening.hears('WATCHDOG=1')
    assert.equal(listening.heard.filter((line) => line === 'READY=1').length, 1)
    const task = cli.run(await cli.home(), ['send-task', node.address, '--text', 'x', '--timeout', '4s'])
    assert.equal((await task).code, 6)
    const before = listening.heard.length
    // another node is heard meanwhile, and not this one
    const other = await cli.start(await cli.home(), [], { env: { NOTIFY_SOCKET: listening.socket } })
    await listening.hears('READY=1', 2)
    assert.ok(!listening.heard.slice(before).includes('WATCHDOG=1'), listening.heard.join(' '))
    await other.running.signal('SIGTERM')
    node.running.child.kill('SIGKILL')
  })

  it('keeps its identity when it is killed and started anew', async function () {
    const listening = await manager(this)
    const home = await cli.home()
    const env = { NOTIFY_SOCKET: listening.socket }
    const first = await cli.start(home, [], { env })
    await listening.hears('READY=1')
    first.running.child.kill('SIGKILL')
    await first.running.ended
    const second = await cli.start(home, [], { env })
    await listening.hears('READY=1', 2)
    assert.equal(second.peerId, first.peerId)
  })

  it('does not tell the programs that it starts of the socket', async function () {
    const listening = await manager(this)
    const node = await cli.start(await cli.home(), ['--handler', 'sh:echo "[$NOTIFY_SOCKET$WATCHDOG_USEC]"'], {
      env: { NOTIFY_SOCKET: listening.socket, WATCHDOG_USEC: '60000000' },
    })
    assert.equal((await cli.run(await cli.home(), ['send-task', node.address, '--text', 'x'])).stdout, '[]\n')
  })

  it('runs on where nobody can tell its manager', async () => {
    const folder = await cli.folder()
    const node = await cli.start(await cli.home(), [], { env: { NOTIFY_SOCKET: join(folder, 'none'), PATH: folder } })
    const outcome = await node.running.signal('SIGTERM')
    assert.equal(outcome.code, 0)
    assert.equal(outcome.stderr.match(/^warn: cannot report the state of the node to the service manager/gm)?.length, 1, outcome.stderr)
  })

  it('has a unit that systemd takes', async function () {
    if (!has('systemd-analyze')) {
      notRun(this, 'there is no systemd-analyze')
    }
    const unit = join(await cli.folder(), 'subnet.service')
    // a machine on which the package is not installed has no such program
    await writeFile(unit, (await readFile(UNIT, 'utf8')).replace('ExecStart=/usr/bin/subnet', 'ExecStart=/bin/true'))
    const { status, stderr, stdout } = spawnSync('systemd-analyze', ['verify', '--recursive-errors=no', unit], { encoding: 'utf8' })
    assert.deepEqual([status, stdout, stderr], [0, '', ''])
  })
})
