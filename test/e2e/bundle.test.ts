import assert from 'node:assert/strict'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { multiaddr } from '@multiformats/multiaddr'
import { Cli, type Outcome } from '../support/cli.ts'
import { SUBNET } from '../support/hypertensor-state.ts'
import { OWNER_KEY, own } from '../support/owner.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

const PACKAGE = fileURLToPath(new URL('../..', import.meta.url))

describe('the bundled command line', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  /** The source files of all that a command loaded of the bundle. */
  async function sourcesOf(home: string, args: string[]): Promise<string[]> {
    const folder = await cli.folder()
    const [hook, list] = [join(folder, 'hook.mjs'), join(folder, 'loaded')]
    await writeFile(
      hook,
      `import { appendFileSync } from 'node:fs'
       import { registerHooks } from 'node:module'
       registerHooks({ load: (url, context, next) => { appendFileSync(${JSON.stringify(list)}, url + '\\n'); return next(url, context) } })`,
    )
    const { code } = await cli.run(home, args, { env: { NODE_OPTIONS: `--import ${pathToFileURL(hook).href}` } })
    assert.equal(code, 0)
    const files = (await readFile(list, 'utf8')).split('\n').filter((url) => url.includes('/bundle/'))
    const maps = files.map(async (url) => JSON.parse(await readFile(`${fileURLToPath(url)}.map`, 'utf8')).sources as string[])
    return (await Promise.all(maps)).flat()
  }

  it('loads libp2p only for what needs a node of its own', async () => {
    const [node, home] = [await cli.start(await cli.home(), ['--handler', 'echo']), await cli.home()]
    await cli.start(home)
    const task = ['send-task', node.address, '--text', 'x']
    const loadsLibp2p = async (of: string, args: string[]): Promise<boolean> =>
      (await sourcesOf(of, args)).some((source) => source.includes('node_modules/libp2p/'))
    const none = await cli.home()
    for (const args of [['--version'], ['--help'], ['start', '--help'], ['id'], ['config'], ['alias', 'list'], ['chain', 'list']]) {
      assert.equal(await loadsLibp2p(none, args), false, args.join(' '))
    }
    for (const args of [['id'], ['peers', '--json'], ['status'], task]) {
      assert.equal(await loadsLibp2p(home, args), false, `${args.join(' ')}, attached`)
    }
    assert.equal(await loadsLibp2p(none, task), true)
  })

  it('asks for nothing of inquirer and of Connect before they are needed', async () => {
    const sources = await sourcesOf(await cli.home(), ['id'])
    assert.deepEqual(
      sources.filter((source) => /node_modules\/(inquirer|@inquirer|@connectrpc)\//.test(source)),
      [],
    )
  })

  it('loads what reads a Hypertensor chain only for what reads one', async () => {
    const chain = ['--chain', 'hypertensor:ws://127.0.0.1:9']
    const node = await cli.start(await cli.home(), ['--handler', 'echo'])
    for (const args of [
      ['chain', 'list'],
      ['send-task', node.address, '--text', 'x', ...chain],
    ]) {
      const sources = await sourcesOf(await cli.home(), args)
      assert.deepEqual(
        sources.filter((source) => /node_modules\/(ws|@polkadot-api|scale-ts)\//.test(source)),
        [],
        args.join(' '),
      )
    }
  })

  it('loads what signs for an account only where something is signed', async () => {
    const chain = await StandInChain.start()
    try {
      const home = await cli.home({ chain: `hypertensor:${chain.url}`, subnetId: SUBNET })
      const peerId = String((await cli.json(home, ['id']))['peerId'])
      own(chain.state, chain.state.setNode(peerId, multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${peerId}`)))
      const keyFile = join(await cli.folder(), 'owner.key')
      await writeFile(keyFile, OWNER_KEY, { mode: 0o600 })
      const signs = async (args: string[]): Promise<boolean> =>
        (await sourcesOf(home, args)).some((source) => source.includes('hypertensor/writing/'))
      for (const args of [['id'], ['chain', 'lookup', peerId], ['chain', 'list'], ['config'], ['chain', 'publish', '--help']]) {
        assert.equal(await signs(args), false, args.join(' '))
      }
      const address = '/ip4/203.0.113.7/tcp/1'
      assert.equal(await signs(['chain', 'publish', address, '--chain', `ledger:${join(home, 'ledger.db')}`]), false)
      assert.equal(await signs(['chain', 'publish', address, '--owner-key', keyFile, '--yes']), true)
    } finally {
      await chain.stop()
    }
  })

  it('names the sources in a stack, which is shown at --log-level debug only', async () => {
    const home = await cli.home()
    const [debug, env, quiet] = await Promise.all([
      cli.run(home, ['resolve', 'nobody', '--log-level', 'debug']),
      cli.run(home, ['resolve', 'nobody'], { env: { SUBNET_LOG_LEVEL: 'trace' } }),
      cli.run(home, ['resolve', 'nobody']),
    ])
    for (const { stderr } of [debug, env]) {
      assert.match(stderr, /\n +at .*\/src\/session\/local-session\.ts:\d+:\d+\)\n/)
      assert.match(stderr, /\n +at .*\/src\/commands\/resolve\.ts:\d+:\d+\)\n/)
      assert.ok(!stderr.includes('/bundle/'), stderr)
    }
    assert.doesNotMatch(quiet.stderr, /\n +at /)
  })

  it('needs nothing but its own files', async () => {
    const [folder, home] = [await cli.folder(), await cli.home()]
    for (const name of ['bin', 'bundle', 'package.json', 'oclif.manifest.json']) {
      await cp(join(PACKAGE, name), join(folder, name), { recursive: true })
    }
    const node = await cli.start(await cli.home(), ['--handler', 'echo'])
    const run = async (...args: string[]): Promise<Outcome> =>
      cli.bash(home, `"$SUBNET_TEST_NODE" '${join(folder, 'bin/run.js')}' ${args.map((arg) => `'${arg}'`).join(' ')}`)
    const [version, help, answer] = [
      await run('--version'),
      await run('help', 'send-task'),
      await run('send-task', node.address, '--text', 'x'),
    ]
    assert.deepEqual({ code: version.code, stderr: version.stderr }, { code: 0, stderr: '' })
    assert.match(help.stdout, /^Send a task/)
    assert.deepEqual({ code: answer.code, stdout: answer.stdout, stderr: answer.stderr }, { code: 0, stdout: 'x', stderr: '' })
  })
})
