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

/** What `scripts/` has for the build, which has no types. */
interface BuildScripts {
  PATCHES: Array<{ file: string }>
  Patches: new () => { apply(path: string, text: string): string; checkAllApplied(): void }
  withDirectImports(code: string, path: string, barrels: Map<string, Map<string, string>>): string
}

async function script(name: string): Promise<BuildScripts> {
  return await import(pathToFileURL(join(PACKAGE, 'scripts', name)).href)
}

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

  it('says to an older Node which one it needs, in JSON where that was asked for', async () => {
    const older = "data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'24.14.9'}})"
    const options = { env: { NODE_OPTIONS: `--import "${older}"` } }
    const home = await cli.home()
    const said = await cli.run(home, ['peers'], options)
    const [, hint = ''] = /^error: subnet needs Node 24\.15 or newer, this is v[\d.]+\nhint: ([^\n]+)\n$/.exec(said.stderr) ?? []
    assert.deepEqual([said.code, said.stdout], [2, ''])
    const [, command] = /^this starts it on the Node that npm ci installed: (.*)$/.exec(hint) ?? []
    const started = await cli.shell(home, `cd / && ${command} --version`)
    assert.deepEqual([started.code, started.stderr], [0, ''], hint)
    const { code, stdout, stderr } = await cli.run(home, ['peers', '--json'], options)
    assert.deepEqual([code, stderr], [2, ''])
    assert.equal(JSON.parse(stdout).error.code, 'USAGE')
  })

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

  it('asks a running node without HTTP/2, and without descriptors that it does not use', async () => {
    const [node, home, folder] = [await cli.start(await cli.home(), ['--handler', 'echo']), await cli.home(), await cli.folder()]
    await cli.start(home)
    const [hook, list] = [join(folder, 'list.mjs'), join(folder, 'loaded')]
    await writeFile(
      hook,
      `import { writeFileSync } from 'node:fs'
       process.on('exit', () => writeFileSync(${JSON.stringify(list)}, process.moduleLoadList.join('\\n')))`,
    )
    for (const args of [
      ['peers', '--json'],
      ['send-task', node.address, '--text', 'x'],
    ]) {
      const { code } = await cli.run(home, args, { env: { NODE_OPTIONS: `--import ${pathToFileURL(hook).href}` } })
      assert.equal(code, 0)
      const loaded = (await readFile(list, 'utf8')).split('\n')
      assert.ok(loaded.includes('NativeModule http'), args.join(' '))
      assert.deepEqual(
        loaded.filter((name) => /^NativeModule (http2|https|tls)$/.test(name)),
        [],
        args.join(' '),
      )
      // a task has a random id
      assert.equal(loaded.includes('NativeModule crypto'), args[0] === 'send-task', args.join(' '))
      const sources = await sourcesOf(home, args)
      assert.deepEqual(
        sources.filter((source) => /(protobuf\/(wrappers|api|type|compiler\/plugin)_pb|protocol-grpc\/gen\/status_pb)\.js$/.test(source)),
        [],
        args.join(' '),
      )
    }
  })

  it('is not built where a dependency is no longer what a patch of it expects', async () => {
    const { PATCHES, Patches } = await script('patches.mjs')
    const patches = new Patches()
    assert.equal(patches.apply('/p/src/main.ts', 'text'), 'text')
    for (const { file } of PATCHES) {
      assert.throws(() => patches.apply(`/p/node_modules/${file}`, 'another text'), /does not apply/)
    }
    assert.throws(() => new Patches().checkAllApplied(), /met no file: @oclif/)
    const applied = new Patches()
    for (const { file } of PATCHES) {
      const path = join(PACKAGE, 'node_modules', file)
      const text = await readFile(path, 'utf8')
      assert.notEqual(applied.apply(path, text), text)
    }
    applied.checkAllApplied()
  })

  it('is not built where nobody knows which file defines what is imported', async () => {
    const { withDirectImports } = await script('past-barrels.mjs')
    const barrels = new Map([
      [
        'all',
        new Map([
          ['one', '/one.js'],
          ['two', '/two.js'],
        ]),
      ],
    ])
    assert.equal(
      withDirectImports("import { one, type Three, two as second } from 'all'\nimport { x } from 'other'", '/p.ts', barrels),
      'import { one } from "/one.js"; import { two as second } from "/two.js";\nimport { x } from \'other\'',
    )
    assert.throws(() => withDirectImports("import { four } from 'all'", '/p.ts', barrels), /no file of all defines four/)
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

  it('loads what makes metrics only for --metrics', async () => {
    const script = join(await cli.folder(), 'script')
    await writeFile(script, 'id\n')
    const making = async (...args: string[]): Promise<boolean> => {
      const start = ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--no-port-mapping', '--script', script, ...args]
      return (await sourcesOf(await cli.home(), start)).some((source) =>
        /node_modules\/(prom-client|@libp2p\/prometheus-metrics)\//.test(source),
      )
    }
    assert.equal(await making(), false)
    assert.equal(await making('--metrics', '0'), true)
  })

  it('loads what draws a screen only for the live view', async () => {
    const home = await cli.home()
    await cli.start(home)
    for (const args of [['--help'], ['top', '--help'], ['status'], ['peers'], ['id']]) {
      const sources = await sourcesOf(home, args)
      const drawing = sources.filter((source) => /node_modules\/(log-update|slice-ansi)\/|src\/cli\/top\//.test(source))
      assert.deepEqual(drawing, [], args.join(' '))
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
