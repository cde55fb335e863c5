import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Cli } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'
import { OTHER_PEER_ID, PEER_ID, seedFile } from '../support/seeds.ts'

const ROOT = join(import.meta.dirname, '../..')
/** The picture of the README is drawn of it: `scripts/session-svg.mjs`. */
const SESSION = join(ROOT, 'docs/session.txt')
const COLUMNS = 116
/** `RECORD=1 npx mocha test/e2e/readme.test.ts` records the session anew; `node scripts/session-svg.mjs` draws it. */
const PORTS = { bob: '4001', own: '4002' }

/** Without what differs from one run to the next: ports, times, whether a heartbeat came yet, the blanks that line up a table. */
function normalised(transcript: string): string[] {
  return transcript
    .trim()
    .split('\n')
    .map((line) =>
      line
        .replace(/\/tcp\/\d+/g, '/tcp/PORT')
        .replace(/^\d\d:\d\d:\d\d /, 'CLOCK ')
        .replace(/(< 1|\b[\d.]+) (ms|s|min|h)\b/g, 'TIME')
        .replace(/ +/g, ' ')
        .replace(/ (TIME ago|-)(?= subnet-cli)/, ' HEARTBEAT')
        .trimEnd(),
    )
}

describe('the docs', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('shows a session of the shell as it is', async () => {
    const recorded = await readFile(SESSION, 'utf8')
    const lines = recorded.split('\n').flatMap((line) => /^subnet> (.*)$/.exec(line)?.[1] ?? [])
    const [bobsHome, home] = [await cli.home(), await cli.home()]
    await seedFile(join(bobsHome, 'identity.key'), OTHER_PEER_ID)
    await seedFile(join(home, 'identity.key'), PEER_ID)
    const bob = await cli.start(bobsHome, ['--handler', 'upper'])

    const terminal = new Terminal(home, ['start', '--bootstrap', bob.address, '--listen', '/ip4/127.0.0.1/tcp/0'], { columns: COLUMNS })
    try {
      await terminal.shows(/^\d\d:\d\d:\d\d peer 12D3KooW\S+ connected/m)
      await terminal.prompt()
      // after that its agent and latency are known
      await cli.json(home, ['ping', bob.peerId])
      for (const [index, line] of lines.entries()) {
        await terminal.until(({ line: shown }) => shown === 'subnet>', `the prompt for line ${index + 1}`)
        terminal.type(`${line}\r`)
        await terminal.until(({ line: shown, text }) => text.includes(`subnet> ${line}`) && !shown.startsWith(`subnet> ${line}`), line)
      }
      assert.equal(await terminal.ended, 0)
    } finally {
      await terminal.end()
    }

    const ports: Array<[string, string]> = [
      [portOf(bob.address), PORTS.bob],
      [/\/tcp\/(\d+)\/p2p\/12D3KooWMw/.exec(terminal.screen.text)?.[1] ?? '', PORTS.own],
    ]
    const shown = ports.reduce((all, [port, name]) => all.replaceAll(`/tcp/${port}`, `/tcp/${name}`), terminal.screen.text).trim()
    const command = `$ subnet start --bootstrap /ip4/127.0.0.1/tcp/${PORTS.bob}/p2p/${OTHER_PEER_ID}`
    if (process.env['RECORD'] != null) {
      await writeFile(SESSION, `${command}\n${shown}\n`)
      return
    }
    assert.deepEqual(normalised(recorded), normalised(`${command}\n${shown}`))
  })

  it('shows how any client drives a node', async () => {
    const scripting = await readFile(join(ROOT, 'docs/scripting.md'), 'utf8')
    const [, body = '', path = ''] =
      /curl --unix-socket .*-H 'content-type: application\/json' -d '(.*)' http:\/\/node(\/\S+)/.exec(scripting) ?? []
    const home = await cli.home()
    const node = await cli.start(home)
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' }
      const sent = request({ socketPath: join(home, 'node.sock'), path, method: 'POST', headers }, (response) => resolve(text(response)))
      sent.on('error', reject).end(body)
    })
    assert.equal(JSON.parse(answer).peerId, node.peerId)
  })
})

function portOf(address: string): string {
  return /\/tcp\/(\d+)/.exec(address)?.[1] ?? ''
}
