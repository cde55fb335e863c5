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
