import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Cli, type RunningNode } from '../support/cli.ts'
import { notRun } from '../support/not-run.ts'
import { Terminal } from '../support/pty.ts'

const BIN = join(import.meta.dirname, '../../bin/run.js')

describe('the completion of a shell', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let home: string
  let folder: string
  let node: RunningNode

  before(async () => {
    ;[home, folder] = await Promise.all([cli.home(), cli.folder()])
    const other = await cli.start(await cli.home())
    node = await cli.start(home, ['--bootstrap', other.address])
    await node.running.event('peer:connect')
    await cli.json(home, ['alias', 'set', 'bob', other.peerId])
    await writeFile(join(folder, 'pay load.bin'), '')
    await writeFile(join(folder, 'payday.bin'), '')
    await mkdir(join(folder, 'inner'))
  })

  after(async () => cli.clean())

  /** What bash would offer after this was typed. */
  async function offered(line: string, of = home): Promise<string[]> {
    const { code, stdout, stderr } = await cli.bash(
      home,
      `set -euo pipefail
       cd '${folder}'
       source <(subnet completion bash)
       export SUBNET_HOME='${of}'
       COMP_LINE='${line}' COMP_POINT=${line.length}
       _subnet subnet
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    )
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    return stdout.split('\n').slice(0, -1)
  }

  it('offers commands, flags, their values, files and peers: bash', async () => {
    for (const [line, ...words] of [
      ['subnet re', 'resolve ', 'restore '],
      ['subnet key ', 'export ', 'import ', 'new ', 'show '],
      ['subnet resolve bo', 'bob '],
      ['subnet resolve bob --ti', '--tier ', '--timeout '],
      ['subnet resolve bob --tier ', 'chain ', 'gossip ', 'local ', 'neighbour '],
      ['subnet chain register --class ', 'idle ', 'included ', 'registered ', 'validator '],
      // after the = only: what stands before it, bash has already
      ['subnet resolve bob --tier=ch', 'chain '],
      ['subnet send-task bob --payload pay', 'pay\\ load.bin ', 'payday.bin '],
      ['subnet call bob /greet/1.0.0 --data @pay', '@pay\\ load.bin ', '@payday.bin '],
      ['subnet call bob /greet/1.0.0 --data=@inn', '@inner/'],
      ['subnet completion ', 'bash ', 'fish ', 'zsh '],
      ['subnet nonsense ', ''],
    ] as string[][]) {
      assert.deepEqual(await offered(line as string), words, line)
    }
    assert.equal((await offered('subnet ping 12D3KooW')).length, 1)
  })

  it('goes on in an open quote and behind a tilde, as its user sees it: bash', async () => {
    const terminal = new Terminal(home, ['--norc', '--noprofile', '-i'], {
      program: 'bash',
      columns: 120,
      env: { PS1: '$ ', HOME: folder, INPUTRC: '/dev/null', BIN, NODE: process.execPath },
    })
    try {
      terminal.type(
        `subnet() { "$NODE" "$BIN" "$@"; }; cd ~; source <(subnet completion bash); bind 'set enable-bracketed-paste off'; clear; echo up\r`,
      )
      await terminal.shows(/^up$/m)
      await terminal.until(({ line: shown }) => shown === '$', 'a prompt')
      for (const [typed, line] of [
        ['subnet key show --key ~/pay\\ \t', 'subnet key show --key ~/pay\\ load.bin'],
        ['subnet key show --key "pay l\t', 'subnet key show --key "pay load.bin"'],
        [`subnet key show --key='pay l\t`, `subnet key show --key='pay load.bin'`],
        ['subnet key show --key ~/inn\t', 'subnet key show --key ~/inner/'],
        ['subnet key show --key "inn\t', 'subnet key show --key "inner/'],
        ['subnet key show --key ~/payd\t', 'subnet key show --key ~/payday.bin'],
        ['subnet call bob /greet/1.0.0 --data @payd\t', 'subnet call bob /greet/1.0.0 --data @payday.bin'],
        ['subnet call bob /greet/1.0.0 --data=@payd\t', 'subnet call bob /greet/1.0.0 --data=@payday.bin'],
        ['subnet call bob /greet/1.0.0 --data "@pay l\t', 'subnet call bob /greet/1.0.0 --data "@pay load.bin"'],
        ['subnet call bob /greet/1.0.0 --data @~/inn\t', 'subnet call bob /greet/1.0.0 --data @~/inner/'],
        ['subnet ping "bo\t', 'subnet ping "bob"'],
      ] as const) {
        terminal.type(typed)
        await terminal.until(({ line: shown }) => shown === `$ ${line}`, line)
        terminal.type('\u0015')
        await terminal.until(({ line: shown }) => shown === '$', 'an empty line')
      }
    } finally {
      await terminal.end()
    }
  })

  it('knows the aliases where no node runs, and starts none', async () => {
    const quiet = await cli.home({ bootstrap: [node.address] })
    await cli.json(quiet, ['alias', 'set', 'carol', node.peerId])
    assert.deepEqual(await offered('subnet ping ', quiet), ['carol '])
  })

  it('says nothing where it cannot tell', async () => {
    assert.deepEqual(await offered('subnet ping ', await cli.home('{ no JSON')), [''])
  })

  for (const shell of ['bash', 'zsh', 'fish']) {
    it(`is a script that its shell takes: ${shell}`, async function () {
      const script = join(folder, `subnet.${shell}`)
      await writeFile(script, (await cli.run(home, ['completion', shell])).stdout)
      const checked = promisify(execFile)(shell, ['-n', script])
      await checked.catch((error: NodeJS.ErrnoException) =>
        error.code === 'ENOENT' ? notRun(this, `there is no ${shell} here`) : Promise.reject(error),
      )
    })
  }
})
