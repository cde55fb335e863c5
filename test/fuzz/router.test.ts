import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { GatewayError } from '../../src/node/port-mapping/gateway.ts'
import { NatPmp } from '../../src/node/port-mapping/nat-pmp.ts'
import { Upnp } from '../../src/node/port-mapping/upnp.ts'
import { readXml } from '../../src/node/port-mapping/xml.ts'
import { fuzz } from '../support/fuzzing.ts'
import { mutated } from '../support/mutations.ts'

const HERE = '127.0.0.1'
const MIB = 1 << 20
const SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1'
const DESCRIPTION = `<?xml version="1.0"?><!-- a router --><root xmlns="urn:schemas-upnp-org:device-1-0"><URLBase></URLBase><device><serviceList><service><serviceType>${SERVICE}</serviceType><controlURL>/control</controlURL></service></serviceList></device></root>`
const ANSWER = `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:GetExternalIPAddressResponse xmlns:u="${SERVICE}"><NewExternalIPAddress><![CDATA[45.79.0.1]]></NewExternalIPAddress></u:GetExternalIPAddressResponse><errorCode>718</errorCode></s:Body></s:Envelope>`
const PORT = { transport: 'tcp', internalPort: 4001, externalPort: 4001 } as const
const { signal } = new AbortController()

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

function failsAsGateway(error: unknown): undefined {
  assert.ok(error instanceof GatewayError, String(error))
}

describe('a router, whatever it says', function () {
  this.timeout(0)

  it('in XML: it is read, or refused', async () => {
    const texts = fc.oneof(mutated(fc.constantFrom(bytesOf(DESCRIPTION), bytesOf(ANSWER))), fc.uint8Array({ maxLength: 200 }))
    await fuzz(texts, { runs: 5_000, target: 'a router: XML' }, MIB, (bytes) => {
      try {
        readXml(Buffer.from(bytes).toString())
      } catch (error) {
        failsAsGateway(error)
      }
    })
  })

  it('in an answer to a search, a description and an answer to an action: it is used, or refused', async () => {
    let said: { location: Uint8Array; description: Uint8Array; answer: Uint8Array }
    const server = createServer((request, response) => {
      response.end(request.method === 'GET' ? said.description : said.answer)
    })
    server.listen(0, HERE)
    await once(server, 'listening')
    const search = createSocket('udp4')
    search.on('message', (_, { port, address }) => search.send(said.location, port, address))
    search.bind(0, HERE)
    await once(search, 'listening')
    const url = `http://${HERE}:${(server.address() as AddressInfo).port}/description.xml`
    const found = `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: ${url}\r\n\r\n`
    const some = (text: string): fc.Arbitrary<Uint8Array> => fc.oneof(fc.constant(bytesOf(text)), mutated(bytesOf(text)))
    const inputs = fc.record({ location: some(found), description: some(DESCRIPTION), answer: some(ANSWER) })
    try {
      await fuzz(inputs, { runs: 400, target: 'a router: UPnP' }, MIB, async (input) => {
        said = input
        const place = { router: HERE, localAddress: HERE, searchAt: { address: HERE, port: search.address().port }, waitMs: 20 }
        const router = await Upnp.find(place, signal).catch(failsAsGateway)
        await router?.externalAddress(signal).catch(failsAsGateway)
        await router?.unmap(PORT, signal).catch(failsAsGateway)
      })
    } finally {
      search.close()
      server.close()
    }
  })

  it('in NAT-PMP: it is used, or refused', async () => {
    const address = Uint8Array.from([0, 128, 0, 0, 0, 0, 0, 1, 45, 79, 0, 1])
    const mapping = Uint8Array.from([0, 130, 0, 0, 0, 0, 0, 1, 0x0f, 0xa1, 0x0f, 0xa1, 0, 0, 7, 8])
    let said: Uint8Array
    const router = createSocket('udp4')
    router.on('message', (_, { port, address: to }) => router.send(said, port, to))
    router.bind(0, HERE)
    await once(router, 'listening')
    try {
      await fuzz(mutated(fc.constantFrom(address, mapping)), { runs: 150, target: 'a router: NAT-PMP' }, MIB, async (bytes) => {
        said = bytes
        const client = new NatPmp({ router: HERE, localAddress: HERE, port: router.address().port, firstWaitMs: 1 })
        await client.externalAddress(signal).catch(failsAsGateway)
        await client.map(PORT, 600_000, signal).catch(failsAsGateway)
      })
    } finally {
      router.close()
    }
  })
})
