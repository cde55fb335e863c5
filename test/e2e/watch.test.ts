import assert from 'node:assert/strict'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

describe('peers --watch on a terminal', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let home: string
  let others: RunningNode[]

  before(async () => {
    home = await cli.home()
    others = await Promise.all([cli.start(await cli.home()), cli.start(await cli.home()), cli.start(home)])
  })

  after(async () => {
    await Promise.all(terminals.map(async (terminal) => terminal.end()))
    await cli.clean()
  })

  function open(options: PtyOptions): Terminal {
    const terminal = new Terminal(home, ['peers', '--watch'], options)
    terminals.push(terminal)
    return terminal
  }

  const rowsOf = (terminal: Terminal): string[] => terminal.screen.lines.filter((line) => line.startsWith('12D3KooW'))
  const titlesOf = (terminal: Terminal): number => terminal.screen.lines.filter((line) => /^\d peers? at /.test(line)).length

  it('draws one table, in place, as peers come and go, in a window that changes too', async () => {
    const [one, two] = others as [RunningNode, RunningNode]
    const terminal = open({ columns: 100 })
    const dumb = open({ env: { TERM: 'dumb' } })
    await terminal.shows(/^0 peers at /m)
    await cli.json(home, ['connect', one.address])
    await terminal.until(() => rowsOf(terminal).length === 1, 'one peer')
    await cli.json(home, ['connect', two.address])
    await terminal.until(() => rowsOf(terminal).length === 2, 'two peers')
    await terminal.resize(60, 24)
    await cli.json(home, ['disconnect', one.peerId])
    await terminal.until(() => rowsOf(terminal).length === 1, 'one peer again')
    assert.equal(titlesOf(terminal), 1, terminal.screen.text)
    assert.ok(terminal.screen.lines.every((line) => line.length <= 60))
    await dumb.until(() => titlesOf(dumb) >= 4, 'a table for each change')
    for (const opened of [terminal, dumb]) {
      opened.type('\u0003')
      assert.equal(await opened.ended, 130)
    }
  })
})
