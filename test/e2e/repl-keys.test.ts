import assert from 'node:assert/strict'
import { Cli, gone, present, type RunningNode } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'

/** In the command line of the handler's child process. */
const SLEEP = '987652.25'
const CTRL_C = '\u0003'
const BACKSPACE = '\u007f'

for (const columns of [80, 120]) {
  describe(`the keys of a node's shell, in ${columns} columns`, function () {
    this.timeout(120_000)
    const cli = new Cli()
    let other: RunningNode
    let home: string
    let terminal: Terminal

    before(async () => {
      other = await cli.start(await cli.home(), ['--handler', `sh:sleep ${SLEEP}`])
      home = await cli.home()
      terminal = new Terminal(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0'], { columns })
      await terminal.shows(/^subnet>$/m)
    })

    beforeEach(async () => {
      terminal.type('\u0015')
      await terminal.prompt()
    })

    after(async () => {
      await terminal.end()
      await cli.clean()
    })

    /** That the shell is still there, and answers. */
    async function goesOn(): Promise<void> {
      const name = `name${Math.random().toString(36).slice(2)}`
      terminal.type(`alias remove ${name}\r`)
      await terminal.shows(new RegExp(`^there was no alias "${name}"$`, 'm'))
      await terminal.prompt()
    }

    it('Ctrl-C at an empty prompt says what another one does, and any key in between takes that back', async () => {
      terminal.type(CTRL_C)
      await terminal.shows(/^Ctrl-C again at once, Ctrl-D or "exit" stops the node$/m)
      terminal.type(`x${BACKSPACE}${CTRL_C}x${BACKSPACE}${CTRL_C}\u001b[C${CTRL_C}`)
      await goesOn()
    })

    it('Ctrl-C that takes a typed line away is none of the two', async () => {
      terminal.type(`typed${CTRL_C}${CTRL_C}`)
      await goesOn()
      terminal.type(`${CTRL_C}typed${CTRL_C}${CTRL_C}`)
      await goesOn()
    })

    it('Ctrl-C that cancels a command is none of the two, however often it is pressed', async () => {
      terminal.type(`send-task ${other.address} --text wait\r`)
      await present(SLEEP)
      terminal.type(CTRL_C.repeat(3))
      await terminal.shows(/^\^C it is being cancelled; Ctrl-D twice does not wait for it$/m)
      await gone(SLEEP)
      await goesOn()
    })

    it('Ctrl-C twice at an empty prompt stops the node', async () => {
      terminal.type(CTRL_C.repeat(2))
      assert.equal(await terminal.ended, 0)
    })
  })
}
