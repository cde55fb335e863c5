import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Cli, jsonError, onlyJson, type RunningNode, until } from '../support/cli.ts'

/** Nobody listens there. */
const NOBODY = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

interface Known {
  peerId: string
  connected: boolean
  source: string
  multiaddrs: string[]
}

describe('an address that its user named', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let peer: RunningNode

  before(async () => {
    peer = await cli.start(await cli.home(), ['--handler', 'echo'])
  })

  after(async () => cli.clean())

  async function known(home: string): Promise<Known[]> {
    return cli.json<Known[]>(home, ['peers', '--all'])
  }

  it('is kept once a dial proved it: the next command needs the peer ID alone', async () => {
    const home = await cli.home()
    assert.equal((await cli.json(home, ['ping', peer.address]))['source'], 'given')
    const answer = await cli.json(home, ['send-task', peer.peerId, '--text', 'hello'])
    assert.deepEqual([answer['source'], answer['multiaddr']], ['dialled', peer.address])
    const [tier] = answer['attempts'] as object[]
    assert.deepEqual({ ...tier, ms: 0 }, { tier: 'gossip', outcome: 'hit', ms: 0, detail: 'in the address book' })
    const found = await cli.json(home, ['resolve', peer.peerId])
    assert.deepEqual([found['source'], found['multiaddrs'], found['verified']], ['dialled', [peer.address], true])
    assert.ok(typeof found['ageMs'] === 'number' && found['ageMs'] >= 0)
  })

  it('is kept by a node that runs, after its connection is gone', async () => {
    const home = await cli.home()
    // of another subnet: no heartbeat of the peer says where it is
    const node = await cli.start(home, ['--subnet-id', '7'])
    await cli.json(home, ['connect', peer.address])
    await cli.json(home, ['disconnect', peer.peerId])
    await until(async () => (await cli.json<Known[]>(home, ['peers'])).length === 0, 'it stays connected')
    const row = (await known(home)).find(({ peerId }) => peerId === peer.peerId)
    assert.deepEqual([row?.source, row?.multiaddrs], ['dialled', [peer.address]])
    assert.equal((await cli.json(home, ['send-task', peer.peerId, '--text', 'hello']))['source'], 'dialled')
    await node.stop()
  })

  it('is kept for a day after its connection has ended, however long it lasted', async () => {
    const home = await cli.home()
    const node = await cli.start(home, ['--subnet-id', '7'])
    await cli.json(home, ['connect', peer.address])
    const database = new DatabaseSync(join(home, 'node.db'), { timeout: 5_000 })
    const expire = database.prepare('UPDATE address_book SET seen_at_ms = 1 WHERE peer_id = ?')
    await until(async () => expire.run(peer.peerId).changes === 1, 'it is not kept')
    database.close()
    await cli.json(home, ['disconnect', peer.peerId])
    await until(async () => (await known(home)).some(({ connected, source }) => !connected && source === 'dialled'), 'it is forgotten')
    await node.stop()
  })

  it('is kept of a bootstrap too', async () => {
    const home = await cli.home()
    const node = await cli.start(home, ['--subnet-id', '7', '--bootstrap', peer.address])
    await node.running.event('peer:connect')
    await node.stop()
    assert.deepEqual(
      (await known(home)).map(({ peerId, source, multiaddrs }) => [peerId, source, multiaddrs]),
      [[peer.peerId, 'dialled', [peer.address]]],
    )
  })

  it('is not kept where nobody answers, or another peer does', async () => {
    const home = await cli.home()
    assert.equal((await cli.run(home, ['ping', NOBODY, '--json'])).code, 4)
    const other = `${peer.address.split('/p2p/')[0]}/p2p/${NOBODY.split('/p2p/')[1]}`
    assert.equal((await cli.run(home, ['ping', other, '--json'])).code, 4)
    assert.deepEqual(await known(home), [])
  })

  it('is kept with the alias that it is given; a dial has to prove it, and does not keep it where it fails', async () => {
    const home = await cli.home()
    const set = await cli.json(home, ['alias', 'set', 'eve', peer.address])
    assert.deepEqual(set, { alias: 'eve', peerId: peer.peerId })
    const answer = await cli.json(home, ['send-task', 'eve', '--text', 'hello'])
    assert.deepEqual([answer['source'], answer['multiaddr']], ['given', peer.address])
    assert.equal((await cli.json(home, ['resolve', 'eve']))['source'], 'dialled')
    await cli.json(home, ['alias', 'set', 'nobody', NOBODY])
    const failed = jsonError(await cli.run(home, ['resolve', 'nobody', '--json']))
    assert.equal(failed.code, 'UNREACHABLE')
    assert.deepEqual(onlyJson(await cli.run(home, ['alias', 'remove', 'nobody', '--json'])), { alias: 'nobody', removed: true })
  })

  it('is kept with an alias by a node that runs', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    await cli.json(home, ['alias', 'set', 'eve', peer.address])
    assert.equal((await cli.json(home, ['ping', 'eve']))['source'], 'given')
    await node.stop()
  })
})
