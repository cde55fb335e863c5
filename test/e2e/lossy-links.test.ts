import assert from 'node:assert/strict'
import { Cli, type Outcome, type RunningNode } from '../support/cli.ts'
import { SlowLink, whyNoSlowLink } from '../support/slow-link.ts'

const refusal = await whyNoSlowLink()
const ROUND_TRIP_MS = 300
/** Commands at each rate of loss, all at once, each in a fresh home. */
const COMMANDS = Number(process.env['LOSSY_COMMANDS'] ?? 3)

const RATES = [5, 20]

describe(`a link of ${ROUND_TRIP_MS} ms that loses packets`, function () {
  this.timeout(120_000)
  const cli = new Cli()
  const links: SlowLink[] = []
  /** They wait most of the time: all at once. */
  let outcomes: Array<Promise<Outcome[]>> = []

  before(() => {
    outcomes = refusal == null ? RATES.map(async (loss) => findOver(loss)) : []
    for (const outcome of outcomes) {
      outcome.catch(() => undefined)
    }
  })

  after(async () => {
    await Promise.allSettled(outcomes)
    await cli.clean()
    await Promise.all(links.map(async (link) => link.close()))
  })

  async function findOver(loss: number): Promise<Outcome[]> {
    const link = await SlowLink.open({ roundTripMs: ROUND_TRIP_MS, loss })
    links.push(link)
    const { within } = link
    const start = async (port: number, args: string[]): Promise<RunningNode> => {
      const own = ['--listen', `/ip4/0.0.0.0/tcp/${port}`, '--announce', `/ip4/${SlowLink.far}/tcp/${port}`]
      return cli.start(await cli.home(), [...own, '--allow-private', ...args], { within })
    }
    const bootstrap = await start(4001, [])
    // these two are on one machine: only commands come over the link
    const peer = await start(4002, ['--handler', 'echo', '--bootstrap', bootstrap.address.replace(SlowLink.far, '127.0.0.1')])
    await bootstrap.running.event('heartbeat', ({ peerId }) => peerId === peer.peerId)
    const args = ['send-task', peer.peerId, '--text', 'x', '--bootstrap', bootstrap.address, '--json']
    const send = async (): Promise<Outcome> => cli.run(await cli.home({ allowPrivate: true }), args, { within })
    return Promise.all(Array.from({ length: COMMANDS }, send))
  }

  for (const [index, loss] of RATES.entries()) {
    const title = `does not keep a fresh home from a peer that its bootstrap knows, at ${loss} %`
    if (refusal != null) {
      it.skip(`${title} (not run, no slow link here: ${refusal})`, () => undefined)
      continue
    }
    it(title, async () => {
      for (const { code, stdout, stderr } of (await outcomes[index]) ?? []) {
        assert.equal(code, 0, `${stdout} ${stderr}`)
      }
    })
  }
})
