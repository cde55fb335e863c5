import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GatewayError } from '../../../src/node/port-mapping/gateway.ts'
import { Upnp } from '../../../src/node/port-mapping/upnp.ts'
import { readXml, textIn } from '../../../src/node/port-mapping/xml.ts'
import { Gateway, type GatewayInit } from '../../support/gateway.ts'

const HERE = '127.0.0.1'
const PORT = { transport: 'tcp', internalPort: 4001, externalPort: 4001 } as const
const LEASE_MS = 600_000
const { signal } = new AbortController()

describe('UPnP', () => {
  const open: Array<{ close(): unknown }> = []

  afterEach(async () => {
    for (const each of open.splice(0)) {
      await each.close()
    }
  })

  async function router(init: Partial<GatewayInit> = {}): Promise<{ gateway: Gateway; find: () => Promise<Upnp> }> {
    const gateway = await Gateway.open({ address: HERE, externalAddress: '45.79.0.1', natPmpPort: false, ssdpPort: 0, ...init })
    open.push(gateway)
    return { gateway, find: async () => searchAt(gateway.ssdpPort) }
  }

  async function searchAt(port: number, router = HERE): Promise<Upnp> {
    return Upnp.find({ router, localAddress: HERE, searchAt: { address: HERE, port }, waitMs: 300 }, signal)
  }

  /** Counts what comes to a machine that is not the router. */
  async function otherMachine(): Promise<{ url: string; requests: string[] }> {
    const requests: string[] = []
    const server = createServer((request, response) => {
      requests.push(String(request.url))
      response.end()
    })
    server.listen(0, '127.0.0.3')
    await once(server, 'listening')
    open.push(server)
    return { url: `http://127.0.0.3:${(server.address() as AddressInfo).port}/`, requests }
  }

  function failure(why: GatewayError['why'], says: RegExp): (error: unknown) => boolean {
    return (error) => error instanceof GatewayError && error.why === why && says.test(error.message)
  }

  for (const version of [1, 2] as const) {
    it(`finds an Internet Gateway Device ${version}, tells its external address, maps a port and removes the mapping`, async () => {
      const { gateway, find } = await router({ version })
      const client = await find()
      assert.equal(await client.externalAddress(signal), '45.79.0.1')
      assert.deepEqual(await client.map(PORT, LEASE_MS, signal), { externalPort: 4001, leaseMs: LEASE_MS })
      assert.deepEqual(gateway.forwards, [{ transport: 'tcp', externalPort: 4001, client: HERE, internalPort: 4001, leaseSeconds: 600 }])
      await client.unmap(PORT, signal)
      assert.deepEqual(gateway.forwards, [])
      // there is nothing to remove any more
      await client.unmap(PORT, signal)
    })
  }

  it('takes another port where the wanted one is taken (718), and leaves the other machine its own', async () => {
    const { gateway, find } = await router({ taken: [4001] })
    const client = await find()
    const { externalPort } = await client.map(PORT, LEASE_MS, signal)
    assert.ok(externalPort >= 1_024 && externalPort <= 65_535 && externalPort !== 4001)
    await client.unmap(PORT, signal)
    await client.unmap({ ...PORT, externalPort }, signal)
    assert.deepEqual(
      gateway.forwards.map((each) => each.externalPort),
      [4001],
    )
  })

  it('lets a device of version 2 choose the port where the wanted one is taken', async () => {
    const { gateway, find } = await router({ taken: [4001], version: 2 })
    assert.deepEqual(await (await find()).map(PORT, LEASE_MS, signal), { externalPort: 4002, leaseMs: LEASE_MS })
    assert.equal(gateway.timesAsked('AddAnyPortMapping'), 1)
  })

  it('gives up after 5 ports that are taken', async () => {
    const { gateway, find } = await router({ refusesWith: 718 })
    await assert.rejects((await find()).map(PORT, LEASE_MS, signal), failure('REFUSED', /taken by another machine/))
    assert.equal(gateway.timesAsked('AddPortMapping'), 5)
  })

  it('asks for a lease without an end where the router knows no other (725)', async () => {
    const { gateway, find } = await router({ permanentOnly: true })
    assert.deepEqual(await (await find()).map(PORT, LEASE_MS, signal), { externalPort: 4001, leaseMs: undefined })
    assert.equal(gateway.forwards[0]?.leaseSeconds, 0)
  })

  it('says in words why the router refuses', async () => {
    const { find } = await router({ refusesWith: 606 })
    await assert.rejects((await find()).map(PORT, LEASE_MS, signal), failure('REFUSED', /this machine may not map ports.*606/))
  })

  it('is not there where nothing answers the search', async () => {
    const silent = createSocket('udp4')
    silent.bind(0, HERE)
    await once(silent, 'listening')
    open.push(silent)
    await assert.rejects(searchAt(silent.address().port), failure('NO_ANSWER', /no UPnP router answers/))
  })

  it('does not hear a machine that is not the router', async () => {
    const { gateway } = await router()
    await assert.rejects(searchAt(gateway.ssdpPort, '127.0.0.3'), failure('NO_ANSWER', /no UPnP router answers/))
    assert.ok(gateway.timesAsked('M-SEARCH') > 0)
  })

  it('goes nowhere else for a description, wherever the answer sends it', async () => {
    const { url, requests } = await otherMachine()
    const locations = [
      url,
      `http://${HERE}@${new URL(url).host}/`,
      `http://user:word@${HERE}/`,
      `https://${HERE}/`,
      'file:///etc/passwd',
      '',
    ]
    for (const location of locations) {
      const { gateway } = await router({ location })
      await assert.rejects(searchAt(gateway.ssdpPort), failure('NO_ANSWER', /no UPnP router answers/), location)
      assert.ok(gateway.timesAsked('M-SEARCH') > 0)
    }
    assert.deepEqual(requests, [])
  })

  it('sends no action to another machine, whatever the description names', async () => {
    const { url, requests } = await otherMachine()
    const service = (control: string): string =>
      `<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>${control}</controlURL></service>`
    for (const description of [`<root>${service(url)}</root>`, `<root><URLBase>${url}</URLBase>${service('/control')}</root>`]) {
      const { find } = await router({ description })
      await assert.rejects(find, failure('MALFORMED', /a URL that is not its own/))
    }
    assert.deepEqual(requests, [])
  })

  it('follows no redirect', async () => {
    const { url, requests } = await otherMachine()
    const { find } = await router({ answer: (_, response) => response.writeHead(307, { location: url }).end() })
    await assert.rejects((await find()).externalAddress(signal), failure('MALFORMED', /invalid XML|HTTP status 307/))
    assert.deepEqual(requests, [])
  })

  it('reads 64 KiB of a description, and no more', async () => {
    const { find } = await router({ description: `<root>${' '.repeat(64 * 1024)}</root>` })
    await assert.rejects(find, failure('MALFORMED', /more than 64 KiB/))
  })

  it('reads 64 KiB of an answer that does not end', async () => {
    let sent = 0
    const { find } = await router({
      answer: (_, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(' '.repeat(16 * 1024))) {
            sent += 16 * 1024
          }
        }
        response.on('drain', more)
        more()
      },
    })
    await assert.rejects((await find()).externalAddress(signal), failure('MALFORMED', /more than 64 KiB/))
    // what the sockets of both sides hold
    assert.ok(sent < 16 << 20, `${sent} bytes`)
  })

  it('says that the router is none where it maps no ports, or sends no XML', async () => {
    const nothing = await router({ description: '<root></root>' })
    await assert.rejects(nothing.find, failure('REFUSED', /maps no ports/))
    const garbage = await router({ description: '<'.repeat(1_000) })
    await assert.rejects(garbage.find, failure('MALFORMED', /invalid XML/))
  })

  it('tells no address that is none', async () => {
    for (const externalAddress of ['0.0.0.0', '', 'router.example', '::1']) {
      const { find } = await router({ externalAddress })
      await assert.rejects((await find()).externalAddress(signal), failure('REFUSED', /no external address/), externalAddress)
    }
  })
})

describe('XML of a router', () => {
  it('is read without namespaces, comments and spaces around a text', () => {
    const { children } = readXml('<?xml version="1.0"?><!-- a --><s:a xmlns:s="x"><b> 1 &amp; <![CDATA[2]]> </b></s:a>')
    assert.deepEqual(children, [{ name: 'a', text: '', children: [{ name: 'b', text: '1 & 2', children: [] }] }])
  })

  for (const [what, text, told] of [
    ['a text that is not escaped', '<a><b>this & that</b><c>1</c></a>', '1'],
    ['a zero byte behind the document', '<a><c>1</c></a>\0', '1'],
    ['an element that does not end', '<a><b><c>1</c></a>', '1'],
    ['an entity of its own, which is none', '<!DOCTYPE a [<!ENTITY b "bb">]><a><c>&b;</c></a>', '&b;'],
  ] as const) {
    it(`is read with ${what}`, () => {
      assert.equal(textIn(readXml(text), 'c'), told)
    })
  }

  for (const [what, text] of Object.entries({
    'more than 2,000 elements': `<a>${'<b/>'.repeat(2_000)}</a>`,
    'more than 32 levels': `${'<a>'.repeat(33)}${'</a>'.repeat(33)}`,
    'more than 16 faults': `<a>${'&b;'.repeat(17)}</a>`,
  })) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => readXml(text), GatewayError)
    })
  }
})
