import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { GatewayError } from '../../../src/node/port-mapping/gateway.ts'
import { NatPmp } from '../../../src/node/port-mapping/nat-pmp.ts'
import { Gateway, type GatewayInit } from '../../support/gateway.ts'

const HERE = '127.0.0.1'
const PORT = { transport: 'tcp', internalPort: 4001, externalPort: 4001 } as const
const LEASE_MS = 600_000
const { signal } = new AbortController()

describe('NAT-PMP', () => {
  const open: Array<{ close(): unknown }> = []

  afterEach(async () => {
    for (const each of open.splice(0)) {
      await each.close()
    }
  })

  async function router(init: Partial<GatewayInit> = {}): Promise<{ gateway: Gateway; client: NatPmp }> {
    const gateway = await Gateway.open({ address: HERE, externalAddress: '45.79.0.1', natPmpPort: 0, ssdpPort: false, ...init })
    open.push(gateway)
    return { gateway, client: clientOf(gateway.natPmpPort) }
  }

  function clientOf(port: number): NatPmp {
    return new NatPmp({ router: HERE, localAddress: HERE, port, firstWaitMs: 20 })
  }

  /** A socket in place of a router. */
  async function stranger(address = HERE): Promise<{ socket: Socket; client: NatPmp }> {
    const socket = createSocket('udp4')
    socket.bind(0, address)
    await once(socket, 'listening')
    open.push(socket)
    return { socket, client: clientOf(socket.address().port) }
  }

  function failure(why: GatewayError['why'], says: RegExp): (error: unknown) => boolean {
    return (error) => error instanceof GatewayError && error.why === why && says.test(error.message)
  }

  it('tells the external address, maps a port for the time that was asked for, and removes the mapping', async () => {
    const { gateway, client } = await router()
    assert.equal(await client.externalAddress(signal), '45.79.0.1')
    assert.deepEqual(await client.map(PORT, LEASE_MS, signal), { externalPort: 4001, leaseMs: LEASE_MS })
    assert.deepEqual(gateway.forwards, [{ transport: 'tcp', externalPort: 4001, client: HERE, internalPort: 4001, leaseSeconds: 600 }])
    await client.map({ ...PORT, transport: 'udp' }, LEASE_MS, signal)
    assert.equal(gateway.forwards.length, 2)
    await client.unmap(PORT, signal)
    assert.deepEqual(
      gateway.forwards.map(({ transport }) => transport),
      ['udp'],
    )
  })

  it('gives the port that the router chose where the wanted one is taken, and the time that it gives', async () => {
    const { client } = await router({ taken: [4001], maxLeaseSeconds: 120 })
    assert.deepEqual(await client.map(PORT, LEASE_MS, signal), { externalPort: 4002, leaseMs: 120_000 })
  })

  it('says in words why the router refuses', async () => {
    const { client } = await router({ refusesWith: 2 })
    await assert.rejects(client.map(PORT, LEASE_MS, signal), failure('REFUSED', /not authorized/))
  })

  it('gives up at once where no port listens', async () => {
    const { socket, client } = await stranger()
    socket.close()
    await once(socket, 'close')
    open.length = 0
    await assert.rejects(client.externalAddress(signal), failure('NO_ANSWER', /does not answer NAT-PMP/))
  })

  it('asks 4 times where nothing answers, and then gives up', async () => {
    const { socket, client } = await stranger()
    let asked = 0
    socket.on('message', () => asked++)
    await assert.rejects(client.externalAddress(signal), failure('NO_ANSWER', /does not answer NAT-PMP/))
    assert.equal(asked, 4)
  })

  it('ends with its signal', async () => {
    const { client } = await stranger()
    const stopping = new AbortController()
    const asked = client.externalAddress(stopping.signal)
    stopping.abort(new Error('the node stops'))
    await assert.rejects(asked, /the node stops/)
  })

  it('leaves alone what is short, of another version, another request or another port, and takes the answer after it', async () => {
    const { socket, client } = await stranger()
    socket.on('message', (request: Buffer, { port, address }) => {
      const answer = Buffer.alloc(16)
      answer.writeUInt8(130, 1)
      answer.set(request.subarray(4, 8), 8)
      answer.writeUInt32BE(600, 12)
      const changed = (at: number, value: number): Buffer => {
        const copy = Buffer.from(answer)
        copy[at] = value
        return copy
      }
      const wrong = [Buffer.alloc(0), answer.subarray(0, 3), answer.subarray(0, 15), changed(0, 1), changed(1, 129), changed(9, 7)]
      for (const each of [...wrong, answer]) {
        socket.send(each, port, address)
      }
    })
    assert.deepEqual(await client.map(PORT, LEASE_MS, signal), { externalPort: 4001, leaseMs: 600_000 })
  })

  it('does not hear who is not the router', async () => {
    const [{ socket, client }, { socket: liar }] = [await stranger(), await stranger('127.0.0.2')]
    socket.on('message', (_, { port, address }) => {
      const answer = Buffer.alloc(12)
      answer.writeUInt8(128, 1)
      liar.send(answer, port, address)
    })
    await assert.rejects(client.externalAddress(signal), failure('NO_ANSWER', /does not answer/))
  })
})
