import assert from 'node:assert/strict'
import { Cli } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'

const TASKS = 60

for (const columns of [80, 120]) {
  describe(`events above the prompt, in ${columns} columns`, function () {
    this.timeout(120_000)
    const cli = new Cli()
    const terminals: Terminal[] = []
    let home: string
    let address: string

    before(async () => {
      home = await cli.home()
      const terminal = new Terminal(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'echo'], { columns })
      terminals.push(terminal)
      await terminal.shows(/^subnet>$/m)
      address = (await cli.json<{ multiaddrs: string[] }>(home, ['id'])).multiaddrs[0] as string
    })

    after(async () => {
      await Promise.all(terminals.map(async (terminal) => terminal.end()))
      await cli.clean()
    })

    it('carry a time, and are summed up when they come fast: by the alias of the peer, too', async () => {
      const [terminal] = terminals as [Terminal]
      const lines = Array.from({ length: TASKS }, (_, index) => `${JSON.stringify({ peer: address, text: String(index) })}\n`)
      const sender = await cli.home()
      await cli.json(home, ['alias', 'set', 'bob', (await cli.json<{ peerId: string }>(sender, ['id'])).peerId])
      const { code } = await cli.run(sender, ['send-task', '--batch', '-'], { stdin: lines.join('') })
      assert.equal(code, 0)
      await terminal.shows(/^\d\d:\d\d:\d\d peer bob \(12D3KooW\S+\) connected \(inbound/m)
      await terminal.shows(/^\d\d:\d\d:\d\d task \S+ of bob \(12D3KooW\S+\):\s+accepted/m)
      await terminal.shows(new RegExp(`^\\d\\d:\\d\\d:\\d\\d ${TASKS - 5} tasks of bob \\(12D3KooW\\S+\\) in \\d s, all accepted$`, 'm'))
      await terminal.prompt()
    })

    it('are muted by "events off", in an attached shell alike, and come back by "events on"', async () => {
      const attached = new Terminal(home, ['attach'], { columns })
      terminals.push(attached)
      await attached.shows(/^subnet>$/m)
      for (const terminal of terminals) {
        terminal.type('events off\r')
        await terminal.shows(/^events are hidden; "events on" shows them again$/m)
        await terminal.prompt()
      }
      const seen = terminals.map(({ screen }) => screen.text)
      await cli.run(await cli.home(), ['ping', address])
      for (const terminal of terminals) {
        terminal.type('alias remove nobody\r')
        await terminal.shows(/^there was no alias "nobody"$/m)
      }
      assert.deepEqual(
        terminals.map(({ screen }, index) => /peer|task/.test(screen.text.slice(seen[index]?.length))),
        [false, false],
      )
      for (const terminal of terminals) {
        terminal.type('events on\r')
        await terminal.shows(/^events are shown$/m)
      }
      await cli.run(await cli.home(), ['ping', address])
      for (const terminal of terminals) {
        await terminal.shows(/events are shown[\s\S]*\d\d:\d\d:\d\d peer 12D3KooW\S+ (dis)?connected/)
      }
    })

    it('are followed in the shell as before, and "events off" elsewhere is refused', async () => {
      const [terminal] = terminals as [Terminal]
      terminal.type('events --since 5m --type task\r')
      await terminal.shows(/--type task\n\d\d:\d\d:\d\d task \S+ of/)
      terminal.type('\u0003')
      await terminal.prompt()
      const { code, stderr } = await cli.run(home, ['events', 'off'])
      assert.equal(code, 2)
      assert.match(stderr, /^error: "events off" works only in the shell of a node\n/)
    })
  })
}
