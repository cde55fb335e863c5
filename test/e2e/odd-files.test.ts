import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { lstat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { History } from '../../src/cli/repl/history.ts'
import { homeAt } from '../../src/node/home/home.ts'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'

describe('files that are pipes or devices, and paths that can never be', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let peer: RunningNode

  before(async () => {
    peer = await cli.start(await cli.home(), ['--handler', 'echo'])
  })

  after(async () => cli.clean())

  async function fifo(folder: string, name: string): Promise<string> {
    const path = join(folder, name)
    await promisify(execFile)('mkfifo', [path])
    return path
  }

  it('refuses at once a path in a folder that takes no files', async () => {
    const home = await cli.home()
    const lines = [
      ['id', '--home', '/proc/subnet/home'],
      ['init', '--yes', '--home', '/proc/subnet'],
      ['start', '--home', '/proc/subnet', '--script', '/dev/null'],
      ['alias', 'list', '--home', '/proc/subnet'],
      ['key', 'new', '--key', '/proc/subnet/a.key'],
      ['send-task', peer.address, '--text', 'x', '--output', '/proc/subnet/out'],
    ]
    const outcomes = await Promise.all(lines.map(async (args) => cli.run(home, args)))
    for (const [index, { code, stderr }] of outcomes.entries()) {
      assert.equal(code, 2, `${lines[index]?.join(' ')}: ${stderr}`)
      assert.match(stderr, /^error: .*\/proc\/subnet.*\n(hint: .*\n)?$/)
    }
  })

  it('ends at --timeout where a pipe has no writer', async () => {
    const home = await cli.home()
    const silent = await fifo(home, 'silent')
    const silentProto = await fifo(home, 'silent.proto')
    const piped = await cli.home()
    await fifo(piped, 'config.json')
    const lines: Array<[string, string[]]> = [
      [home, ['key', 'show', '--key', silent]],
      [home, ['key', 'import', silent]],
      [home, ['ping', peer.address, '--key', silent]],
      [home, ['start', '--key', silent, '--listen', '/ip4/127.0.0.1/tcp/0']],
      [home, ['send-task', peer.address, '--payload', silent]],
      [home, ['call', peer.address, '/x/1', '--data', `@${silent}`, '--proto', silentProto]],
      [piped, ['id']],
      [piped, ['start']],
    ]
    const outcomes = await Promise.all(lines.map(async ([at, args]) => cli.run(at, [...args, '--timeout', '2s', '--json'])))
    for (const [index, outcome] of outcomes.entries()) {
      const { code, message } = jsonError(outcome)
      assert.deepEqual([code, outcome.code], ['TIMEOUT', 6], `${lines[index]?.[1].join(' ')}: ${message}`)
    }
  })

  it('reads a pipe that has a writer, whenever it comes, and stdin under its names', async () => {
    const home = await cli.home()
    await cli.run(home, ['key', 'new', '--key', join(home, 'a.key')])
    await fifo(home, 'late')
    await fifo(home, 'config.json')
    const { stdout, stderr } = await cli.bash(
      home,
      `cd ${home}
      config() { echo '{"subnetId": 7}' > config.json; }
      config & subnet key show --key <(cat a.key) | cut -d' ' -f3
      config & subnet send-task ${peer.address} --payload <(printf substituted)
      echo
      config & subnet config --json --key late | grep -o '"subnetId":{"value":7'
      (sleep 0.1; printf later > late) & config & subnet send-task ${peer.address} --payload late
      echo
      config & printf piped | subnet send-task ${peer.address} --payload /dev/stdin
      echo
      config & subnet send-task --batch <(echo '{"peer":"${peer.address}","text":"of a batch"}') 2> batch.log | grep -o '"accepted":true'
      config & subnet start --json --listen /ip4/127.0.0.1/tcp/0 --script <(echo id) | grep -v event | grep -c peerId
      wait`,
    )
    assert.deepEqual(stdout.split('\n').slice(0, -1), [
      'Ed25519',
      'substituted',
      '"subnetId":{"value":7',
      'later',
      'piped',
      '"accepted":true',
      '1',
    ])
    assert.equal(stderr.replaceAll(/^\S+Z ready:.*\n|^ {2}\/ip4.*\n|^\S+Z stopping\n|^\{"event".*\n/gm, ''), '')
  })

  it('refuses a device as config, and gives up on a pid that is none', async () => {
    const home = await cli.home()
    await symlink('/dev/zero', join(home, 'config.json'))
    const { code, stderr } = await cli.run(home, ['id'])
    assert.equal(code, 2)
    assert.match(stderr, /config.json cannot be read: it has more than \d+ bytes/)
  })

  it('a history that is a pipe or a device is empty, and stays what it is', async () => {
    const piped = homeAt(await cli.home())
    const path = await fifo(piped.path, 'repl_history')
    const linked = homeAt(await cli.home())
    await symlink('/dev/null', join(linked.path, 'repl_history'))
    for (const home of [piped, linked]) {
      const history = await History.open(home)
      assert.deepEqual(history.lines, [])
      history.add('peers')
      await history.written()
      assert.deepEqual(history.lines, ['peers'])
    }
    assert.ok((await lstat(path)).isFIFO())
    assert.ok((await lstat(join(linked.path, 'repl_history'))).isSymbolicLink())
  })
})
