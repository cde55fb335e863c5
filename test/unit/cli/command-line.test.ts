import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core'
import { commandLine } from '../../../src/cli/command-line.ts'
import { toUsageError } from '../../../src/cli/text/usage.ts'
import type { UsageError } from '../../../src/primitives/errors.ts'

describe('a command line', () => {
  let config: Config

  before(async () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url))
    // the commands are those of the manifest: none is loaded
    const { oclif, ...pjson } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    oclif.commands.target = './none.cjs'
    config = await Config.load({ root, pjson: { ...pjson, oclif } })
  })

  const line = (text: string): string => commandLine(text.split(' '), config).join(' ')

  it('may have common flags before its command, and the words help and version', () => {
    assert.equal(line('--home x status'), 'status --home x')
    assert.equal(line('--home=x --json chain lookup bob --all'), 'chain lookup --home=x --json bob --all')
    assert.equal(line('--timeout 5s call bob /p -- --data'), 'call --timeout 5s bob /p -- --data')
    assert.equal(line('--json nonsense -- x'), 'nonsense --json -- x')
    assert.equal(line('version'), '--version')
    assert.equal(line('--json -v'), '--version --json')
    assert.equal(line('help ping'), 'ping --help')
    assert.equal(line('--home x --help'), '--help')
  })

  it('is left as it is where a flag before its command is none of those', () => {
    for (const text of ['--payload x send-task', '--home', '--json', 'status --home x', 'ping -- --help']) {
      assert.equal(line(text), text)
    }
  })

  it('with a word of the shell, or a name after alias, is told where that belongs; in a shell, how help is asked for there', () => {
    const told = (id: string, inShell = false): string[] => {
      const { message, hint } = toUsageError(
        Object.assign(new Error(`Command ${id} not found.`), { oclif: {} }),
        config,
        '',
        inShell,
      ) as UsageError
      return [message, hint ?? '']
    }
    const shell = 'is a word of the shell that "subnet start" and "subnet attach" open on a terminal'
    assert.deepEqual(told('quit'), ['unknown command "quit"', `quit ${shell}`])
    assert.deepEqual(told('exit:3'), ['unknown command "exit"', `exit ${shell}`])
    const alias = '"subnet alias list" lists the aliases, "subnet alias set bob PEER" makes one'
    assert.deepEqual(told('alias:bob'), ['unexpected argument "bob"', alias])
    assert.deepEqual(told('protocol:bob'), ['unknown command "protocol bob"', '"subnet protocol --help" lists the commands'])
    assert.deepEqual(told('chain:lst'), [
      'unknown command "chain lst"',
      'did you mean "chain list"? "subnet chain --help" lists the commands',
    ])
    assert.deepEqual(told('nonsense', true), ['unknown command "nonsense"', '"help" lists the commands'])
    assert.deepEqual(told('protocol:bob', true), ['unknown command "protocol bob"', '"help protocol" lists the commands'])
  })

  it('with an unknown command gets no suggestion that ends something, unless that was begun', () => {
    const hint = (typed: string): string | undefined =>
      (toUsageError(Object.assign(new Error(`Command ${typed} not found.`), { oclif: {} }), config) as UsageError).hint
    assert.ok(!hint('top')?.includes('stop'))
    assert.ok(!hint('tops')?.includes('stop'))
    assert.ok(!hint('connecct')?.includes('disconnect'))
    assert.match(hint('stpo') ?? '', /did you mean "stop"/)
    assert.match(hint('pears') ?? '', /did you mean "peers"/)
  })
})
