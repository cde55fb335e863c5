import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import type { StatusAnswer } from '../../src/session/answers.ts'
import { Cli } from '../support/cli.ts'
import { HalfOpenSockets, IdleStrangers, strangerAt } from '../support/crowd.ts'

const CROWD = '127.0.0.1'

describe('subnet status, of a node whose places are taken', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let attack: HalfOpenSockets | IdleStrangers | undefined

  afterEach(async () => {
    await attack?.stop()
    await cli.clean()
  })

  /** Asks until the answer is as wanted: a flood takes its time. */
  async function statusOf(
    home: string,
    wanted: (places: StatusAnswer['places']) => boolean,
  ): Promise<{ status: StatusAnswer; code: number | null }> {
    while (true) {
      const { stdout, code } = await cli.run(home, ['status', '--json'])
      const status = JSON.parse(stdout) as StatusAnswer
      if (wanted(status.places)) {
        return { status, code }
      }
    }
  }

  it('by handshakes that never end says so, and is healthy as they all come from one address', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    const sockets = new HalfOpenSockets(CROWD, multiaddr(node.address))
    attack = sockets
    sockets.keep(250)
    const { status, code } = await statusOf(home, ({ full, turnedAway }) => full.includes('pending') && turnedAway > 0)
    const { turnedAway, ...places } = status.places
    const counts = { open: 0, maxOpen: 300, pending: 200, maxPending: 200, maxPerIp: 150, displaced: 0 }
    assert.deepEqual(places, { ...counts, full: ['pending'], largest: { ip: CROWD, open: 0, pending: 200 } })
    assert.deepEqual([code, status.healthy, status.problems], [0, true, []])
    await node.stop()
  })

  it('up to the share of one address is healthy, and says whose they are', async () => {
    const home = await cli.home()
    const node = await cli.start(home, [], { env: { SUBNET_MAX_CONNECTIONS_PER_IP: '75' } })
    const sockets = new HalfOpenSockets(CROWD, multiaddr(node.address))
    attack = sockets
    sockets.keep(100)
    const { status, code } = await statusOf(home, ({ pending, turnedAway }) => pending === 50 && turnedAway >= 50)
    const { turnedAway, ...places } = status.places
    const counts = { open: 0, maxOpen: 300, pending: 50, maxPending: 200, maxPerIp: 75, displaced: 0 }
    assert.deepEqual(places, { ...counts, full: [], largest: { ip: CROWD, open: 0, pending: 50 } })
    assert.deepEqual([code, status.healthy], [0, true])
    const { stdout } = await cli.run(home, ['status'])
    assert.match(stdout, /^places +0 of 300 open, \d+ of 200 pending, 127\.0\.0\.1 has 0 open and \d+ pending, \d+ turned away$/m)
    await node.stop()
  })

  it('by idle connections of one address says so, and is healthy as others displace them', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    const strangers = new IdleStrangers(CROWD, multiaddr(node.address))
    attack = strangers
    await strangers.keep(305)
    // one that is turned away in its handshake leaves a place free until it comes again
    await statusOf(home, ({ full }) => full.includes('open'))
    const other = await strangerAt('127.0.0.2')
    await other.dial(multiaddr(node.address))
    const { status, code } = await statusOf(home, ({ full, displaced }) => full.includes('open') && displaced > 0)
    assert.deepEqual([code, status.healthy, status.problems], [0, true, []])
    const { stdout } = await cli.run(home, ['status'])
    assert.match(
      stdout,
      /^places +all open ones are taken: 300 of 300 open, \d+ of 200 pending, 127\.0\.0\.1 has 299 open and \d+ pending, .*\d+ displaced while idle$/m,
    )
    await other.stop()
    await node.stop()
  })

  it('by idle connections of as many addresses has a problem, as newcomers are turned away', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    const strangers = new IdleStrangers((index) => `127.0.${1 + Math.floor(index / 200)}.${1 + (index % 200)}`, multiaddr(node.address))
    attack = strangers
    await strangers.keep(305)
    const { status, code } = await statusOf(home, ({ full, turnedAway }) => full.includes('open') && turnedAway > 0)
    assert.deepEqual([code, status.healthy, status.problems[0]?.code], [9, false, 'LIMIT_EXCEEDED'])
    assert.match(
      status.problems[0]?.message ?? '',
      /^new peers were refused in the last minute.*: 300 of 300 connections are open and \d+ of 200 handshakes pending$/,
    )
    await node.stop()
  })
})
