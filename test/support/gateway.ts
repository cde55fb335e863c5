import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A port of the router that leads to a machine behind it. */
export interface Forward {
  transport: 'tcp' | 'udp'
  externalPort: number
  client: string
  internalPort: number
  /** 0: until it is removed. */
  leaseSeconds: number
}

export interface GatewayInit {
  /** Its address inside, where it listens. */
  address: string
  externalAddress: string
  /** @default 5351; false: it does not speak NAT-PMP */
  natPmpPort?: number | false
  /** Where it hears searches. @default 1900; false: it does not speak UPnP */
  ssdpPort?: number | false
  /** Of its Internet Gateway Device. @default 1 */
  version?: 1 | 2
  /** What it gives of what is asked for. @default all */
  maxLeaseSeconds?: number
  /** Knows leases alone that do not end (error 725). */
  permanentOnly?: boolean
  /** Refuses all mappings with this code: a result of NAT-PMP, an error of UPnP. */
  refusesWith?: number
  /** Ports that other machines have. */
  taken?: number[]
  /** In place of its description's own URL. */
  location?: string
  /** In place of its description. */
  description?: string
  /** In place of what it answers to actions. */
  answer?: (request: IncomingMessage, response: ServerResponse) => void
  onForward?: (forward: Forward) => Promise<void>
  onRemove?: (forward: Forward) => Promise<void>
}

/** RFC 6886, 3.5. */
const PMP = { success: 0, unsupportedVersion: 1, outOfResources: 4, unsupportedOpcode: 5 }
const ANSWER = 0x80
/** UPnP Device Architecture 1.0, 3.2.2, and the services WANIPConnection 1 and 2, 2.4. */
const ERRORS: Record<number, string> = {
  401: 'Invalid Action',
  402: 'Invalid Args',
  606: 'Action not authorized',
  713: 'SpecifiedArrayIndexInvalid',
  714: 'NoSuchEntryInArray',
  718: 'ConflictInMappingEntry',
  725: 'OnlyPermanentLeasesSupported',
  728: 'NoPortMapsAvailable',
}
const MULTICAST = '239.255.255.250'
const OTHER_MACHINE = '10.99.99.99'
const ADD_ARGUMENTS = [
  ...['NewRemoteHost', 'NewExternalPort', 'NewProtocol', 'NewInternalPort', 'NewInternalClient', 'NewEnabled'],
  ...['NewPortMappingDescription', 'NewLeaseDuration'],
]

type Values = Record<string, string>

/** The part of a home router that maps ports: NAT-PMP as RFC 6886 has it, and UPnP as the UPnP Forum's documents have an Internet Gateway Device. */
export class Gateway {
  readonly forwards: Forward[] = []
  /** What it was asked: NAT-PMP's opcodes, and actions of UPnP. */
  readonly asked: string[] = []
  readonly #init: GatewayInit
  readonly #startedAtMs = Date.now()
  #pmp: Socket | undefined
  #ssdp: Socket | undefined
  #http: Server | undefined

  private constructor(init: GatewayInit) {
    this.#init = init
    for (const externalPort of init.taken ?? []) {
      this.forwards.push({ transport: 'tcp', externalPort, client: OTHER_MACHINE, internalPort: 1, leaseSeconds: 0 })
    }
  }

  static async open(init: GatewayInit): Promise<Gateway> {
    const gateway = new Gateway(init)
    const { natPmpPort = 5351, ssdpPort = 1900, address } = init
    if (natPmpPort !== false) {
      gateway.#pmp = await bound(natPmpPort, address)
      gateway.#pmp.on('message', (message, from) => void gateway.#answerPmp(message, from))
    }
    if (ssdpPort !== false) {
      gateway.#http = createServer((request, response) => void gateway.#answerHttp(request, response))
      gateway.#http.listen(0, address)
      await once(gateway.#http, 'listening')
      // multicasts come to all addresses or to theirs alone
      gateway.#ssdp = await bound(ssdpPort, ssdpPort === 1900 ? undefined : address)
      if (ssdpPort === 1900) {
        gateway.#ssdp.addMembership(MULTICAST, address)
      }
      gateway.#ssdp.on('message', (message, from) => gateway.#answerSearch(message.toString(), from))
    }
    return gateway
  }

  get natPmpPort(): number {
    return this.#pmp?.address().port ?? 0
  }

  get ssdpPort(): number {
    return this.#ssdp?.address().port ?? 0
  }

  /** Those of this machine. */
  forwardsTo(client: string): Forward[] {
    return this.forwards.filter((forward) => forward.client === client)
  }

  /** How often it was asked this. */
  timesAsked(what: string): number {
    return this.asked.filter((each) => each === what).length
  }

  async close(): Promise<void> {
    const over = [this.#pmp, this.#ssdp, this.#http].flatMap((each) => (each == null ? [] : [once(each, 'close')]))
    this.#pmp?.close()
    this.#ssdp?.close()
    // what is answered now, nobody hears
    this.#pmp = undefined
    this.#ssdp = undefined
    this.#http?.closeAllConnections()
    this.#http?.close()
    await Promise.all(over)
  }

  async #answerPmp(request: Buffer, from: RemoteInfo): Promise<void> {
    const [version, opcode = 0] = request
    this.asked.push(`NAT-PMP ${opcode}`)
    const mapping = opcode === 1 || opcode === 2
    const result = await this.#pmpResult(request, version, opcode)
    const size = result !== PMP.success ? 8 : opcode === 0 ? 12 : 16
    const answer = Buffer.alloc(size)
    answer.writeUInt8(opcode | ANSWER, 1)
    answer.writeUInt16BE(result, 2)
    answer.writeUInt32BE(Math.floor((Date.now() - this.#startedAtMs) / 1_000), 4)
    if (result === PMP.success && opcode === 0) {
      answer.set(this.#init.externalAddress.split('.').map(Number), 8)
    }
    if (result === PMP.success && mapping) {
      const forward = await this.#mapByPmp(request, opcode === 1 ? 'udp' : 'tcp', from.address)
      answer.writeUInt16BE(request.readUInt16BE(4), 8)
      answer.writeUInt16BE(forward?.externalPort ?? 0, 10)
      answer.writeUInt32BE(forward?.leaseSeconds ?? 0, 12)
    }
    this.#pmp?.send(answer, from.port, from.address)
  }

  async #pmpResult(request: Buffer, version: number | undefined, opcode: number): Promise<number> {
    if (version !== 0) {
      return PMP.unsupportedVersion
    }
    if (opcode > 2 || (opcode > 0 && request.byteLength < 12)) {
      return PMP.unsupportedOpcode
    }
    return opcode === 0 ? PMP.success : (this.#init.refusesWith ?? PMP.success)
  }

  /** RFC 6886, 3.3 and 3.4: the suggested port, the one that the client has, or another. A lifetime of 0 removes the mapping. */
  async #mapByPmp(request: Buffer, transport: Forward['transport'], client: string): Promise<Forward | undefined> {
    const [internalPort, suggested, lifetime] = [request.readUInt16BE(4), request.readUInt16BE(6), request.readUInt32BE(8)]
    const own = this.forwards.find((each) => each.client === client && each.internalPort === internalPort && each.transport === transport)
    if (lifetime === 0) {
      await this.#remove(own)
      return undefined
    }
    let externalPort = own?.externalPort ?? suggested
    while (own == null && this.#holder(transport, externalPort) != null) {
      externalPort++
    }
    const leaseSeconds = Math.min(lifetime, this.#init.maxLeaseSeconds ?? lifetime)
    return this.#forward({ transport, externalPort, client, internalPort, leaseSeconds })
  }

  /** UPnP Device Architecture 1.0, 1.2.2 and 1.2.3. */
  #answerSearch(message: string, { address, port }: RemoteInfo): void {
    const [request, ...lines] = message.split('\r\n')
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toUpperCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const target = headers['ST'] ?? ''
    const own = ['ssdp:all', 'upnp:rootdevice', this.#deviceType]
    if (
      request !== 'M-SEARCH * HTTP/1.1' ||
      headers['MAN'] !== '"ssdp:discover"' ||
      !(Number(headers['MX']) >= 1) ||
      !own.includes(target)
    ) {
      return
    }
    this.asked.push('M-SEARCH')
    const answer = [
      'HTTP/1.1 200 OK',
      'CACHE-CONTROL: max-age=1800',
      'EXT:',
      `LOCATION: ${this.#init.location ?? `http://${this.#init.address}:${this.#httpPort}/description.xml`}`,
      'SERVER: OS/1.0 UPnP/1.0 gateway/1.0',
      `ST: ${target}`,
      `USN: uuid:9f0865b3-f5da-4ad5-85b7-7404637fdf37::${target}`,
    ]
    this.#ssdp?.send(`${answer.join('\r\n')}\r\n\r\n`, port, address)
  }

  get #httpPort(): number | undefined {
    return (this.#http?.address() as AddressInfo | null)?.port
  }

  get #version(): number {
    return this.#init.version ?? 1
  }

  get #deviceType(): string {
    return `urn:schemas-upnp-org:device:InternetGatewayDevice:${this.#version}`
  }

  get #serviceType(): string {
    return `urn:schemas-upnp-org:service:WANIPConnection:${this.#version}`
  }

  async #answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = request.socket.remoteAddress ?? ''
    if (request.method === 'GET' && request.url === '/description.xml') {
      response.writeHead(200, { 'content-type': 'text/xml' }).end(this.#init.description ?? this.#description)
      return
    }
    if (request.method !== 'POST' || request.url !== '/control') {
      response.writeHead(404).end()
      return
    }
    const body = (await request.setEncoding('utf8').toArray()).join('')
    const action = /^"(.*)#(\w+)"$/.exec(String(request.headers['soapaction']))
    this.asked.push(action?.[2] ?? 'no action')
    if (this.#init.answer != null) {
      this.#init.answer(request, response)
      return
    }
    const values = Object.fromEntries([...body.matchAll(/<(New\w+)>([^<]*)<\/\1>/g)].map(([, name = '', value = '']) => [name, value]))
    const result = action?.[1] === this.#serviceType ? await this.#act(action[2] ?? '', values, client) : 401
    const [status, content] = typeof result === 'number' ? [500, fault(result)] : [200, this.#answered(action?.[2] ?? '', result)]
    response.writeHead(status, { 'content-type': 'text/xml; charset="utf-8"', EXT: '' }).end(envelope(content))
  }

  /** The values of the answer, or the code of an error. */
  async #act(action: string, values: Values, client: string): Promise<Values | number> {
    const transport = values['NewProtocol'] === 'UDP' ? 'udp' : 'tcp'
    const externalPort = Number(values['NewExternalPort'])
    switch (action) {
      case 'GetExternalIPAddress':
        return { NewExternalIPAddress: this.#init.externalAddress }
      case 'GetSpecificPortMappingEntry': {
        const there = this.#holder(transport, externalPort)
        return there == null
          ? 714
          : {
              NewInternalPort: String(there.internalPort),
              NewInternalClient: there.client,
              NewEnabled: '1',
              NewPortMappingDescription: '',
              NewLeaseDuration: String(there.leaseSeconds),
            }
      }
      case 'DeletePortMapping': {
        const there = this.#holder(transport, externalPort)
        await this.#remove(there)
        return there == null ? 714 : {}
      }
      case 'AddPortMapping':
        return this.#add(values, transport, externalPort, client)
      case 'AddAnyPortMapping':
        return this.#version === 2 ? this.#addAny(values, transport, externalPort, client) : 401
      default:
        return 401
    }
  }

  async #add(values: Values, transport: Forward['transport'], externalPort: number, client: string): Promise<Values | number> {
    const there = this.#holder(transport, externalPort)
    const leaseSeconds = Number(values['NewLeaseDuration'])
    const internal = values['NewInternalClient']
    if (ADD_ARGUMENTS.some((name) => values[name] == null) || !(externalPort > 0) || values['NewEnabled'] !== '1') {
      return 402
    }
    if (this.#init.refusesWith != null) {
      return this.#init.refusesWith
    }
    // as most do: a machine maps ports to itself alone
    if (internal !== client) {
      return 606
    }
    if (there != null && there.client !== client) {
      return 718
    }
    if (this.#init.permanentOnly === true && leaseSeconds !== 0) {
      return 725
    }
    await this.#forward({ transport, externalPort, client, internalPort: Number(values['NewInternalPort']), leaseSeconds })
    return {}
  }

  async #addAny(values: Values, transport: Forward['transport'], wanted: number, client: string): Promise<Values | number> {
    let externalPort = wanted
    while (this.#holder(transport, externalPort) != null) {
      externalPort++
    }
    const added = await this.#add(values, transport, externalPort, client)
    return typeof added === 'number' ? added : { NewReservedPort: String(externalPort) }
  }

  #holder(transport: Forward['transport'], externalPort: number): Forward | undefined {
    return this.forwards.find((each) => each.transport === transport && each.externalPort === externalPort)
  }

  async #forward(forward: Forward): Promise<Forward> {
    const there = this.#holder(forward.transport, forward.externalPort)
    if (there == null) {
      this.forwards.push(forward)
      await this.#init.onForward?.(forward)
    } else {
      Object.assign(there, forward)
    }
    return forward
  }

  async #remove(forward: Forward | undefined): Promise<void> {
    if (forward != null) {
      this.forwards.splice(this.forwards.indexOf(forward), 1)
      await this.#init.onRemove?.(forward)
    }
  }

  /** As UPnP Device Architecture 1.0, 2.1, has it, with the devices of an Internet Gateway Device. */
  get #description(): string {
    const device = (type: string, inner: string): string =>
      `<device><deviceType>${type}</deviceType><friendlyName>gateway</friendlyName><manufacturer>test</manufacturer><modelName>1</modelName><UDN>uuid:1</UDN>${inner}</device>`
    const service = `<serviceList><service><serviceType>${this.#serviceType}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL><eventSubURL>/events</eventSubURL></service></serviceList>`
    const part = (name: string, inner: string): string =>
      `<deviceList>${device(`urn:schemas-upnp-org:device:${name}:${this.#version}`, inner)}</deviceList>`
    const devices = device(this.#deviceType, part('WANDevice', part('WANConnectionDevice', service)))
    return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>${devices}</root>`
  }

  #answered(action: string, values: Values): string {
    const inner = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`)
    return `<m:${action}Response xmlns:m="${this.#serviceType}">${inner.join('')}</m:${action}Response>`
  }
}

function envelope(content: string): string {
  return `<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><SOAP-ENV:Body>${content}</SOAP-ENV:Body></SOAP-ENV:Envelope>`
}

function fault(code: number): string {
  return `<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>${code}</errorCode><errorDescription>${ERRORS[code] ?? 'Error'}</errorDescription></UPnPError></detail></SOAP-ENV:Fault>`
}

async function bound(port: number, address: string | undefined): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.bind(port, address)
  await once(socket, 'listening')
  return socket
}
