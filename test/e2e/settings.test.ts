import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError } from '../support/cli.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'

const BOOTSTRAP = `/ip4/192.0.2.1/tcp/1/p2p/${OTHER_PEER_ID}`

interface Config {
  home: string
  settings: Record<string, { value: unknown; source: string }>
}

describe('the settings of a home', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('are shown as config.json takes them, each with where it came from: config', async () => {
    const home = await cli.home({ subnetId: 3, heartbeatInterval: '90s', bootstrap: [BOOTSTRAP], chain: 'ledger:/config.db' })
    const env = { SUBNET_CHAIN: 'ledger:/env.db', SUBNET_TASK_TIMEOUT: '250ms', SUBNET_SUBNET_ID: '4' }
    const shown = await cli.json<Config>(home, ['config', '--subnet-id', '5'], { env })
    assert.equal(shown.home, home)
    const { subnetId, chain, taskTimeout, heartbeatInterval, bootstrap, listen, handler, publish } = shown.settings
    assert.deepEqual(
      { subnetId, chain, taskTimeout, heartbeatInterval, bootstrap, listen, handler, publish },
      {
        subnetId: { value: 5, source: 'flag' },
        chain: { value: 'ledger:/env.db', source: 'env' },
        taskTimeout: { value: '250ms', source: 'env' },
        heartbeatInterval: { value: '90s', source: 'config' },
        bootstrap: { value: [BOOTSTRAP], source: 'config' },
        listen: { value: ['/ip4/0.0.0.0/tcp/38960'], source: 'default' },
        handler: { value: null, source: 'default' },
        publish: { value: false, source: 'default' },
      },
    )
    // and all of it is a config.json that says the same
    const entries = Object.entries(shown.settings).filter(([, { value }]) => value != null)
    const copy = await cli.home(Object.fromEntries(entries.map(([name, { value }]) => [name, value])))
    const again = await cli.json<Config>(copy, ['config'])
    for (const [name, { value }] of Object.entries(shown.settings)) {
      assert.deepEqual(again.settings[name]?.value, value, name)
    }
    const words = await cli.run(home, ['config'])
    assert.match(words.stdout, /^SETTING +FROM +VALUE\n/)
    assert.match(words.stdout, /^subnetId +config +3$/m)
  })

  it('are written by init: what flags and the environment say, and only what is no default', async () => {
    const home = join(await cli.home(), 'new')
    const answers = ['--chain', 'ledger:/shared.db', '--bootstrap', BOOTSTRAP, '--subnet-id', '1', '--listen', '/ip4/127.0.0.1/tcp/4001']
    const made = await cli.json(home, ['init', ...answers], { env: { SUBNET_HANDLER: 'echo' } })
    const settings = { listen: ['/ip4/127.0.0.1/tcp/4001'], chain: 'ledger:/shared.db', bootstrap: [BOOTSTRAP], handler: 'echo' }
    assert.deepEqual(made, { home, config: join(home, 'config.json'), peerId: made['peerId'], settings })
    assert.deepEqual(JSON.parse(await readFile(join(home, 'config.json'), 'utf8')), settings)
    assert.equal((await stat(join(home, 'config.json'))).mode & 0o777, 0o600)
    assert.equal((await cli.json(home, ['id']))['peerId'], made['peerId'])
    assert.equal((await cli.json<Config>(home, ['config'])).settings['listen']?.source, 'config')
  })

  it('that are there already are only changed with --force, and those that init does not ask for stay', async () => {
    const home = await cli.home({ heartbeatInterval: '7s', handler: 'echo', subnetId: 3 })
    const refused = await cli.run(home, ['init', '--subnet-id', '1', '--json'])
    assert.equal(refused.code, 2)
    assert.match(jsonError(refused).hint ?? '', /--force/)
    const { settings } = await cli.json(home, ['init', '--subnet-id', '1', '--force'])
    assert.deepEqual(settings, { heartbeatInterval: '7s', handler: 'echo' })
    const wrong = await cli.run(home, ['init', '--bootstrap', 'nonsense', '--force', '--json'])
    assert.match(jsonError(wrong).message, /^--bootstrap: not a multiaddr: "nonsense"/)
    assert.deepEqual(JSON.parse(await readFile(join(home, 'config.json'), 'utf8')), { heartbeatInterval: '7s', handler: 'echo' })
  })

  it('make a node that starts with them', async () => {
    const home = await cli.home()
    await cli.json(home, ['init', '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'upper'])
    const node = await cli.start(home, ['--listen', '/ip4/127.0.0.1/tcp/0'])
    const { stdout } = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'hello'])
    assert.equal(stdout, 'HELLO')
    assert.equal((await node.stop()).code, 0)
  })
})
