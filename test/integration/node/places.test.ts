import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Libp2p } from '@libp2p/interface'
import { getNetConfig } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import { TaskProtocol } from '../../../src/protocol/builtin/task.ts'
import { HalfOpenSockets, IdleStrangers, strangerAt } from '../../support/crowd.ts'
import { heartbeats, Lab } from '../../support/nodes.ts'
import { eventually, TestHost } from '../../support/protocol-host.ts'

const NEWCOMERS = [2, 3, 4, 5, 6].map((last) => `127.0.0.${last}`)
const CROWD = '127.0.0.1'

describe('the places of a node', function () {
  this.timeout(120_000)
  const lab = new Lab()
  const attacks: Array<{ stop(): unknown }> = []
  const callers: Libp2p[] = []

  afterEach(async () => {
    await Promise.all(attacks.splice(0).map(async (attack) => attack.stop()))
    await Promise.all(callers.splice(0).map(async (caller) => caller.stop()))
    await lab.clean()
  })

  async function server(maxConnectionsPerIp?: number): Promise<{ node: SubnetNode; address: Multiaddr }> {
    const node = await lab.node({ handler: async ({ payload }) => payload, settings: { maxConnectionsPerIp } })
    return { node, address: node.multiaddrs[0] as Multiaddr }
  }

  /** A peer that has never been there comes from this address, and has a task answered. */
  async function ask(from: string, address: Multiaddr, text: string): Promise<string> {
    const caller = await strangerAt(from)
    callers.push(caller)
    const tasks = new TaskProtocol(new TestHost(caller, DEFAULT_LIMITS, false), undefined)
    const { result } = await tasks.sendTask([address], text, Buffer.from(text), { timeoutMs: 20_000 })
    return Buffer.from(result).toString()
  }

  async function askFromEach(address: Multiaddr): Promise<void> {
    for (const from of NEWCOMERS) {
      assert.equal(await ask(from, address, from), from)
    }
  }

  function portOf(address: Multiaddr): number {
    return Number(getNetConfig(address).port)
  }

  it('are there for newcomers while one address keeps 250 half-open sockets', async () => {
    const { node, address } = await server(30)
    const attack = new HalfOpenSockets(CROWD, address)
    attacks.push(attack)
    attack.keep(250)
    await eventually(() => attack.closed >= 250, 'the sockets that are too many are closed')
    await eventually(() => node.stats.places.largest?.pending === 20, 'two thirds of the share are pending')
    await askFromEach(address)
    assert.equal(node.stats.places.refusedAtMs, undefined)
  })

  it('are there for newcomers while many addresses keep half-open sockets, more than there are places', async () => {
    const { node, address } = await server(150)
    for (const from of ['127.0.1.1', '127.0.1.2', '127.0.1.3']) {
      const attack = new HalfOpenSockets(from, address)
      attacks.push(attack)
      attack.keep(150)
    }
    await eventually(() => node.stats.places.pending === 200, 'all places for handshakes are taken')
    const { turnedAway } = node.stats.places
    await askFromEach(address)
    assert.ok(node.stats.places.turnedAway > turnedAway, 'the attack went on')
  })

  it('are there for newcomers while one address keeps 299 idle connections, and more than its share', async () => {
    const { node, address } = await server(50)
    const attack = new IdleStrangers(CROWD, address)
    attacks.push(attack)
    await attack.keep(299)
    const { largest, open } = node.stats.places
    assert.ok(open <= 50 && largest?.ip === CROWD && largest.open > 40, JSON.stringify(node.stats.places))
    await askFromEach(address)
  })

  it('are there for newcomers where idle connections have all of them', async () => {
    const { node, address } = await server(300)
    const attack = new IdleStrangers(CROWD, address)
    attacks.push(attack)
    await attack.keep(310)
    await eventually(() => node.stats.places.open === 300, 'all places are taken')
    await askFromEach(address)
    assert.ok(node.connections.length <= 300)
    assert.ok(node.stats.places.displaced >= 5)
  })

  it('stay with a peer that was there before, and makes no calls, while idle strangers come', async () => {
    const { node, address } = await server(300)
    const [first] = await Promise.all([strangerAt('127.0.0.2'), ask('127.0.0.3', address, 'hello')])
    callers.push(first)
    const connection = await first.dial(address)
    const attack = new IdleStrangers(CROWD, address)
    attacks.push(attack)
    await attack.keep(320)
    await eventually(() => node.stats.places.open === 300, 'all places are taken')
    await ask('127.0.0.4', address, 'hello')
    assert.ok(node.stats.places.displaced > 0)
    assert.equal(connection.status, 'open')
  })

  it('stay with a peer of the same address whose call is under way, on a kept stream too', async () => {
    const release = Promise.withResolvers<void>()
    const given = Promise.withResolvers<void>()
    const handler = async ({ payload }: { payload: Uint8Array }): Promise<Uint8Array> => {
      if (Buffer.from(payload).toString() === 'slow') {
        given.resolve()
        await release.promise
      }
      return payload
    }
    const node = await lab.node({ handler })
    const client = await lab.node()
    await client.connect(node.multiaddrs[0] as Multiaddr)
    await client.protocolsOf(node.peerId)
    const answer = client.tasks.sendTask(node.multiaddrs, 'slow', Buffer.from('slow'), { timeoutMs: 60_000 })
    await given.promise
    assert.ok(node.connections[0]?.streams.some(({ protocol }) => protocol.endsWith('/pipelined')))
    const attack = new IdleStrangers(CROWD, node.multiaddrs[0] as Multiaddr)
    attacks.push(attack)
    await attack.keep(310)
    await eventually(() => node.stats.places.open === 300, 'all places are taken')
    await askFromEach(node.multiaddrs[0] as Multiaddr)
    assert.ok(node.stats.places.displaced >= 5)
    release.resolve()
    assert.equal(Buffer.from((await answer).result).toString(), 'slow')
    assert.equal(client.connections.length, 1)
  })

  it('stay with neighbours in gossip, and with peers that were called, of the same address', async () => {
    const { node, address } = await server()
    const [neighbour, worker] = await Promise.all([lab.node(), lab.node({ handler: async ({ payload }) => payload })])
    const heard = heartbeats(node, neighbour, 2)
    await neighbour.connect(address)
    await heard
    await worker.connect(address)
    await node.tasks.sendTask(worker.peerId, 'once', Buffer.from('once'))
    const attack = new IdleStrangers(CROWD, address)
    attacks.push(attack)
    await attack.keep(305)
    await eventually(() => node.stats.places.open === 300, 'all places are taken')
    await askFromEach(address)
    assert.ok(node.stats.places.displaced >= 5)
    assert.equal(neighbour.connections.length, 1)
    assert.equal(worker.connections.length, 1)
  })

  it('are enough for 100 callers at once from one address, with the default share', async () => {
    const { node, address } = await server(150)
    const texts = Array.from({ length: 100 }, (_, index) => `task ${index}`)
    assert.deepEqual(await Promise.all(texts.map(async (text) => ask('127.0.0.2', address, text))), texts)
    assert.equal(node.stats.places.turnedAway, 0)
  })

  it('are not shared out among the processes of this machine, unless the share is set', async () => {
    const [{ node, address }, other] = await Promise.all([server(), server()])
    const texts = Array.from({ length: 100 }, (_, index) => `task ${index}`)
    assert.deepEqual(await Promise.all(texts.map(async (text) => ask(CROWD, address, text))), texts)
    const attack = new HalfOpenSockets(CROWD, other.address)
    attacks.push(attack)
    attack.keep(190)
    await eventually(() => other.node.stats.places.pending === 190, 'all handshakes are pending')
    assert.equal(node.stats.places.turnedAway, 0)
    assert.equal(other.node.stats.places.turnedAway, 0)
  })

  it('are given back, however a connection ends', async () => {
    const { node, address } = await server()
    const port = portOf(address)
    await ask(CROWD, address, 'a call')
    const garbage = connect({ host: CROWD, port })
    garbage.on('error', () => undefined)
    garbage.write('\x05hello')
    await new Promise((resolve) => garbage.on('close', resolve))
    const reset = connect({ host: CROWD, port })
    await eventually(() => node.stats.places.pending === 1, 'a handshake is pending')
    reset.resetAndDestroy()
    await Promise.all(callers.splice(0).map(async (caller) => caller.stop()))
    await eventually(() => node.stats.places.open + node.stats.places.pending === 0, 'all places are free')
    assert.equal(node.stats.places.largest, undefined)
  })
})
