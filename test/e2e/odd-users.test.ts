import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, type Outcome } from '../support/cli.ts'
import { asUnknownUser, asUserWithoutHome, whyNoUnknownUser } from '../support/unknown-user.ts'

const refusal = await whyNoUnknownUser()

function asAnother(title: string, test: () => Promise<void>): void {
  if (refusal == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run, no user namespace here: ${refusal})`, test)
  }
}

/** Ended as a command ends: what it says is ours, line by line. */
function saysNothingElse({ stderr }: Outcome): void {
  assert.match(stderr, /^((error|hint|warn): .*\n)*$/)
}

describe('a user, a home and a working directory that are not there', function () {
  this.timeout(90_000)
  const cli = new Cli()

  afterEach(async () => cli.clean())

  asAnother('a user whom the system does not know runs every command', async () => {
    const home = await cli.home()
    for (const within of [asUserWithoutHome, [...asUnknownUser, 'env', '-u', 'SHELL', 'HOME=/']]) {
      for (const args of [['--version'], ['--help'], ['id'], ['key', 'show']]) {
        const outcome = await cli.run(home, args, { within })
        assert.equal(outcome.code, 0, `${args.join(' ')}: ${outcome.stderr.slice(0, 500)}`)
        assert.equal(outcome.stderr, '')
      }
    }
  })

  asAnother('a user whom the system does not know runs a node where the path of the home is too long for a socket', async () => {
    const home = join(await cli.folder(), 'x'.repeat(110))
    const options = { within: asUserWithoutHome, env: { XDG_RUNTIME_DIR: await cli.folder() } }
    const node = await cli.start(home, ['--handler', 'sh:env'], options)
    const status = await cli.json(home, ['status'], options)
    assert.equal(status['pid'], node.running.child.pid)
    // what stands in for a user names nothing
    const { stdout } = await cli.run(await cli.home(), ['send-task', node.address, '--text', ''])
    assert.doesNotMatch(stdout, /^(HOME|SHELL)=./m)
    assert.equal((await node.stop()).code, 0)
  })

  asAnother('without a home directory a command says what it needs, and what needs no home works', async () => {
    const options = { within: asUserWithoutHome, env: { SUBNET_HOME: '' } }
    for (const args of [['--version'], ['--help']]) {
      assert.equal((await cli.run('', args, options)).code, 0, args.join(' '))
    }
    const outcome = await cli.run('', ['id', '--json'], options)
    const { exit, message, hint } = jsonError(outcome)
    assert.equal(exit, 2)
    assert.match(message, /this user has no home directory/)
    assert.match(hint ?? '', /--home or SUBNET_HOME/)
    saysNothingElse(outcome)
  })

  it('an empty HOME is no home directory: nothing is made in a folder that all may write', async () => {
    const tmp = await cli.folder()
    const { code, stderr } = await cli.run('', ['id'], {
      env: { SUBNET_HOME: '', HOME: '', XDG_DATA_HOME: '', TMPDIR: tmp, NODE_DISABLE_COMPILE_CACHE: '1' },
    })
    assert.equal(code, 2)
    assert.match(stderr, /this user has no home directory/)
    assert.deepEqual(await readdir(tmp), [])
  })

  asAnother("with somebody else's HOME a command says what it needs, in our words alone", async () => {
    const foreign = await cli.folder()
    await chmod(foreign, 0o000)
    const options = { within: asUnknownUser, env: { HOME: foreign, SUBNET_HOME: '', XDG_DATA_HOME: '' } }
    for (const args of [['id'], ['status'], ['start', '--script', '/dev/null'], ['init', '--yes']]) {
      const outcome = await cli.run('', args, options)
      assert.equal(outcome.code, 2, `${args.join(' ')}: ${outcome.stderr}`)
      assert.match(outcome.stderr, /^error: .*permission denied\nhint: .*--home or SUBNET_HOME.*\n$/)
    }
    const version = await cli.run('', ['--version'], options)
    assert.deepEqual([version.code, version.stderr], [0, ''])
    await chmod(foreign, 0o700)
  })

  it('in a working directory that was deleted all works that names absolute paths, and the rest says so', async () => {
    const [home, gone] = [await cli.home(), join(await realpath(await cli.folder()), 'gone')]
    const run = async (line: string): Promise<Outcome> => {
      await mkdir(gone)
      return cli.shell(home, `rmdir ${gone}; ${line}`, { cwd: gone })
    }
    for (const line of ['subnet id', 'subnet start --json --script /dev/null --listen /ip4/127.0.0.1/tcp/0']) {
      const { code, stderr } = await run(line)
      assert.deepEqual([code, stderr.replace(/^(sh|\/bin\/sh): .*getcwd.*\n/gm, '')], [0, ''], line)
    }
    const relative = [
      'subnet id --home here',
      'subnet protocol new here',
      'subnet start --handler ./here.js',
      'subnet start --chain ledger:here.db --listen /ip4/127.0.0.1/tcp/0 --script /dev/null',
      'subnet call 12D3KooWB7xoynfbZ5K8LXUQ2VQSPgZW1Mb7ooDJUxGU76paBHCA /x/1 --data {} --proto here.proto',
    ]
    for (const line of relative) {
      const { code, stderr } = await run(line)
      assert.equal(code, 2, `${line}: ${stderr}`)
      assert.match(stderr, /^error: .*here.*(the working directory is gone|no such file or directory)/m)
      assert.doesNotMatch(stderr, /this is a bug|uv_cwd|^ {4}at /m)
    }
  })
})
