import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError } from '../support/cli.ts'
import { PEER_ID } from '../support/seeds.ts'

const A = `/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`
const B = `/ip4/127.0.0.1/tcp/2/p2p/${PEER_ID}`
const KEY = 'secretkey'

describe('config get, set and unset', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  async function written(home: string): Promise<Record<string, unknown>> {
    return JSON.parse(await readFile(join(home, 'config.json'), 'utf8'))
  }

  it('change one setting, and leave the others and no other file', async () => {
    const home = await cli.home({ subnetId: 7, taskTimeout: '5s' })
    assert.deepEqual(await cli.json(home, ['config', 'set', 'taskTimeout', '90s']), {
      config: join(home, 'config.json'),
      key: 'taskTimeout',
      value: '90s',
    })
    await cli.json(home, ['config', 'set', 'bootstrap', `${A}, ${B}`])
    await cli.json(home, ['config', 'set', 'mdns', 'true'])
    await cli.json(home, ['config', 'set', 'maxFrameBytes', '2048'])
    assert.equal((await cli.run(home, ['config', 'set', 'gossipIpColocationWeight', '--', '-1'])).code, 0)
    assert.deepEqual(await written(home), {
      ...{ subnetId: 7, taskTimeout: '90s', bootstrap: [A, B], mdns: true, maxFrameBytes: 2_048 },
      gossipIpColocationWeight: -1,
    })
    assert.deepEqual(await readdir(home), ['config.json'])
    assert.equal((await stat(join(home, 'config.json'))).mode & 0o777, 0o600)
    assert.equal((await cli.run(home, ['config', 'get', 'bootstrap'])).stdout, `${A}\n${B}\n`)
    assert.deepEqual(await cli.json(home, ['config', 'get', 'task-timeout']), { key: 'taskTimeout', value: '90s', source: 'config' })
    assert.deepEqual(await cli.json(home, ['config', 'get', 'key']), { key: 'key', value: null, source: 'default' })
    assert.equal((await cli.json(home, ['config', 'unset', 'taskTimeout']))['removed'], true)
    assert.equal((await cli.json(home, ['config', 'unset', 'taskTimeout']))['removed'], false)
    assert.deepEqual(await cli.json(home, ['config', 'get', 'taskTimeout']), { key: 'taskTimeout', value: '1m', source: 'default' })
    assert.equal((await written(home))['subnetId'], 7)
  })

  it('write a value that is the default, so that it stays should the default change', async () => {
    const home = await cli.home()
    await cli.json(home, ['config', 'set', 'subnetId', '1'])
    assert.deepEqual(await written(home), { subnetId: 1 })
  })

  it('write nothing of what "start" would not take, or of what is no setting', async () => {
    const home = await cli.home({ subnetId: 7 })
    for (const [args, message, hint] of [
      [['set', 'subnetId', 'one'], /^subnetId: "one" is not valid; expected a whole number/, null],
      [['set', 'subnetId', '1,2'], /^subnetId: "1,2" is not valid/, null],
      [['set', 'bootstrap', `${A},`], /^bootstrap: .* is not valid; expected non-empty texts/, null],
      [['set', 'bootstrap', '/ip4/127.0.0.1/tcp/1'], /^bootstrap: /, null],
      [['set', 'metrics', 'nowhere'], /expected HOST:PORT/, null],
      [['set', 'subnetID', '1'], /^unknown setting "subnetID"$/, /^did you mean subnetId\?/],
      [['unset', 'toString'], /^unknown setting "toString"$/, /"subnet config" lists/],
      [['get', 'heartbeat'], /^unknown setting "heartbeat"$/, /did you mean heartbeat(Interval|Budget)\?/],
    ] as const) {
      const outcome = await cli.run(home, ['config', ...args, '--json'])
      const error = jsonError(outcome)
      assert.equal(outcome.code, 2)
      assert.match(error.message, message)
      assert.match(String(error.hint), hint ?? /.*/)
    }
    assert.deepEqual(await written(home), { subnetId: 7 })
  })

  it('never show what may be a key in the URL of a chain', async () => {
    const home = await cli.home()
    const taken = `hypertensor:wss://127.0.0.1:1/${KEY}`
    for (const [args, code] of [
      [['set', 'chain', taken], 0],
      [['get', 'chain'], 0],
      [['set', 'subnetId', taken], 2],
      [['set', 'listen', taken], 2],
      [['get', taken], 2],
    ] as const) {
      for (const json of [[], ['--json']]) {
        const outcome = await cli.run(home, ['config', ...args, ...json])
        assert.equal(outcome.code, code, `${args} ${outcome.stderr}`)
        assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes(KEY), `${args} ${outcome.stdout} ${outcome.stderr}`)
      }
    }
    assert.deepEqual(await written(home), { chain: taken })
  })

  it('tell of the node that runs that it goes on as it is', async () => {
    const home = await cli.home()
    const { running } = await cli.start(home)
    const set = await cli.run(home, ['config', 'set', 'taskTimeout', '90s'])
    assert.deepEqual([set.code, set.stdout], [0, 'taskTimeout  90s\n'])
    assert.match(set.stderr, /takes effect at its next start/)
    await running.signal('SIGTERM')
    assert.equal((await cli.run(home, ['config', 'set', 'taskTimeout', '91s'])).stderr, '')
  })

  it('leave a config.json as it is that is none', async () => {
    const home = await cli.home('{"subnetId":')
    await writeFile(join(home, 'config.json'), '{"subnetId":')
    assert.equal((await cli.run(home, ['config', 'set', 'taskTimeout', '90s'])).code, 2)
    assert.equal(await readFile(join(home, 'config.json'), 'utf8'), '{"subnetId":')
  })

  it('are completed, keys too', async () => {
    const home = await cli.home()
    assert.deepEqual(await cli.json(home, ['complete', 'subnet config ']), ['get', 'set', 'unset'])
    assert.deepEqual(await cli.json(home, ['complete', 'subnet config set heartbeatI']), ['heartbeatInterval'])
  })
})
