import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
    let folder: string
    let terminal: Terminal

    before(async () => {
      other = await cli.start(await cli.home(), ['--handler', `sh:sleep ${SLEEP}`])
      home = await cli.home()
      folder = await cli.folder()
      await mkdir(join(folder, 'da ta'))
      await writeFile(join(folder, 'da ta', 'pay load'), 'not sent')
      await writeFile(join(folder, 'names.txt'), 'alias list\n')
      terminal = new Terminal(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0'], { columns, env: { HOME: folder } })
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
      await terminal.shows(/^\^C the command is being cancelled; Ctrl-D twice does not wait for it$/m)
      await gone(SLEEP)
      await goesOn()
    })

    it('two Tabs in one packet list what the line may go on with; keys behind a Tab wait for what it completes', async () => {
      terminal.type('resolve bob --ti\t\t')
      await terminal.shows(/^--tier +--timeout$/m)
      await terminal.prompt('resolve bob --ti')
      terminal.type('\u0015reso\tbob --tier neigh\t--js\t')
      await terminal.prompt('resolve bob --tier neighbour --json')
    })

    it('Ctrl-R finds an older line that has a text in it', async () => {
      for (const line of ['alias remove one', 'alias remove two', 'alias list']) {
        terminal.type(`${line}\r`)
        await terminal.prompt()
      }
      terminal.type('typed\u0012remo')
      await terminal.until(({ line }) => line === '(search) remo: alias remove two', 'the newest')
      terminal.type('\u0012')
      await terminal.until(({ line }) => line === '(search) remo: alias remove one', 'the one before')
      terminal.type('ve two')
      await terminal.until(({ line }) => line.startsWith('(no older line: search) remove two: '), 'none before that')
      terminal.type('\u0007')
      await terminal.prompt('typed')
      terminal.type('\u0012remove one')
      await terminal.until(({ line }) => line === '(search) remove one: alias remove one', 'the line')
      terminal.type('\u001b[F1\r')
      await terminal.shows(/^there was no alias "one1"$/m)
      terminal.type('\u0012remove tw\r')
      await terminal.until(({ text }) => text.split('there was no alias "two"').length === 3, 'the line run once more')
      await terminal.prompt()
    })

    it('~ is the folder of the user where a file is named, and completed', async () => {
      terminal.type(`send-task ${other.address} --timeout 1s --payload ~/none\r`)
      await terminal.shows(/^error: the payload \S+\/none/m)
      await terminal.until(({ text }) => text.replaceAll('\n', '').includes(`the payload ${folder}/none`), 'the folder of the user')
      await terminal.prompt()
      terminal.type('key show --key=~/na\t')
      await terminal.prompt('key show --key=~/names.txt')
      terminal.type('\u0015key show --key ~\t')
      await terminal.prompt('key show --key ~/')
      terminal.type('da\tpa\t')
      await terminal.prompt('key show --key ~/da\\ ta/pay\\ load')
      terminal.type(`\u0015call ${other.peerId} /none --data '"~/x"' --proto "~/x"\r`)
      await terminal.shows(/(error: .* ~\/x)/)
    })

    it('Tab completes inside of a quote that is open', async () => {
      terminal.type(`key show --key "${folder}/da\tpa\t`)
      await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`--key "${folder}/da ta/pay load"`), 'in double quotes')
      terminal.type(`\u0015key show --key='${folder}/da\tpa\t`)
      await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`--key='${folder}/da ta/pay load'`), 'in single quotes')
      terminal.type('\u0015key show --key "~/\t')
      await terminal.prompt('key show --key "~/')
    })

    it('Ctrl-C twice at an empty prompt stops the node', async () => {
      terminal.type(CTRL_C.repeat(2))
      assert.equal(await terminal.ended, 0)
    })
  })
}
