import { randomInt } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { type Gateway, GatewayError, type Lease, type MappedPort, type Place } from './gateway.ts'
import { askRouter, ownUrl } from './router-http.ts'
import { findDescription, type SsdpInit } from './ssdp.ts'
import { elementsIn, readXml, textIn, type XmlElement } from './xml.ts'

/** Services of a router that map ports, in order of preference (UPnP Forum: WANIPConnection 1 and 2, WANPPPConnection 1). */
const SERVICES = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
]
/** Maximum services per router. */
const MAX_SERVICES = 4
/** Maximum further external ports to try after a conflict. */
const MAX_CONFLICTS = 4
const [FIRST_FREE_PORT, LAST_PORT] = [1_024, 65_535]
/** Name of the mapping on the router's own pages. */
const DESCRIPTION = 'subnet'
/** Lease duration of a permanent mapping. */
const PERMANENT = 0
const NO_ADDRESS = '0.0.0.0'

/** Error codes of a service that are handled here. */
const CODES = { noSuchEntry: 714, conflict: 718, onlyPermanentLeases: 725 }
/** The port is taken by another machine or by another mechanism of the router. */
const CONFLICTS = new Set([CODES.conflict, 729])
const WORDS: Record<number, string> = {
  401: 'unknown action',
  402: 'invalid arguments',
  501: 'the action failed',
  606: 'this machine may not map ports',
  718: 'the port is taken by another machine',
  724: 'internal and external port must be the same',
  725: 'only permanent leases are supported',
  726: 'a remote host cannot be chosen',
  727: 'an external port cannot be chosen',
  728: 'no port is left',
  729: 'another mechanism of the router uses the port',
}

interface Service {
  type: string
  controlUrl: URL
}

type Arguments = ReadonlyArray<readonly [name: string, value: string | number]>

/** The answer to an action: its values or an error code. */
type Answer = { ok: XmlElement } | { code: number }

/** A service refused an action. */
class ActionError extends GatewayError {
  readonly upnpCode: number

  constructor(code: number) {
    super('REFUSED', `the router says no: ${WORDS[code] ?? 'unknown reason'} (UPnP error ${code})`)
    this.upnpCode = code
  }
}

/** A router with UPnP. */
export class Upnp implements Gateway {
  readonly protocol = 'UPnP'
  readonly #place: Place
  readonly #services: Service[]
  /** The service with an external address. */
  #service: Service | undefined

  private constructor(place: Place, services: Service[]) {
    this.#place = place
    this.#services = services
  }

  /** Finds the router and reads its description. @throws GatewayError, or the signal's reason */
  static async find(init: SsdpInit, signal: AbortSignal): Promise<Upnp> {
    const location = await findDescription(init, signal)
    const { status, text } = await askRouter(location, init, { method: 'GET' }, signal)
    if (status !== 200) {
      throw new GatewayError('MALFORMED', `the router did not send its description: HTTP status ${status}`)
    }
    const services = servicesIn(readXml(text), init, location)
    if (services.length === 0) {
      throw new GatewayError('REFUSED', 'the router speaks UPnP, but maps no ports')
    }
    return new Upnp(init, services)
  }

  async externalAddress(signal: AbortSignal): Promise<string> {
    let problem: unknown = new GatewayError('REFUSED', 'the router has no external address')
    for (const service of this.#service == null ? this.#services : [this.#service]) {
      try {
        const address = textIn(await this.#run(service, 'GetExternalIPAddress', [], signal), 'NewExternalIPAddress') ?? ''
        if (isIPv4(address) && address !== NO_ADDRESS) {
          this.#service = service
          return address
        }
      } catch (error) {
        signal.throwIfAborted()
        problem = error
      }
    }
    throw problem
  }

  async map(port: MappedPort, leaseMs: number, signal: AbortSignal): Promise<Lease> {
    try {
      return await this.#map(port, Math.ceil(leaseMs / 1_000), signal)
    } catch (error) {
      if (error instanceof ActionError && error.upnpCode === CODES.onlyPermanentLeases) {
        return this.#map(port, PERMANENT, signal)
      }
      throw error
    }
  }

  async #map(port: MappedPort, leaseSeconds: number, signal: AbortSignal): Promise<Lease> {
    let asked = port
    for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts++) {
      const answer = await this.#tryMapping(asked, leaseSeconds, conflicts > 0, signal)
      if ('ok' in answer) {
        return {
          externalPort: portIn(answer.ok) ?? asked.externalPort,
          leaseMs: leaseSeconds === PERMANENT ? undefined : leaseSeconds * 1_000,
        }
      }
      if (!CONFLICTS.has(answer.code)) {
        throw new ActionError(answer.code)
      }
      asked = this.#choosesPorts ? port : { ...port, externalPort: randomInt(FIRST_FREE_PORT, LAST_PORT + 1) }
    }
    throw new ActionError(CODES.conflict)
  }

  /** Removes a mapping of this machine only. Some routers would remove the mapping of another machine. */
  async unmap({ transport, internalPort, externalPort }: MappedPort, signal: AbortSignal): Promise<void> {
    const values: Arguments = [
      ['NewRemoteHost', ''],
      ['NewExternalPort', externalPort],
      ['NewProtocol', transport.toUpperCase()],
    ]
    const there = await this.#try(this.#chosen, 'GetSpecificPortMappingEntry', values, signal)
    const isOwn =
      'ok' in there &&
      textIn(there.ok, 'NewInternalClient') === this.#place.localAddress &&
      textIn(there.ok, 'NewInternalPort') === String(internalPort)
    const answer = isOwn ? await this.#try(this.#chosen, 'DeletePortMapping', values, signal) : there
    if ('code' in answer && answer.code !== CODES.noSuchEntry) {
      throw new ActionError(answer.code)
    }
  }

  /** The connected service. Without one, the first service. */
  get #chosen(): Service {
    return this.#service ?? (this.#services[0] as Service)
  }

  /** True for version 2, whose service can choose another port itself. */
  get #choosesPorts(): boolean {
    return this.#chosen.type === SERVICES[0]
  }

  /** @param any lets the router choose the port, if it can */
  async #tryMapping(
    { transport, internalPort, externalPort }: MappedPort,
    leaseSeconds: number,
    any: boolean,
    signal: AbortSignal,
  ): Promise<Answer> {
    const action = any && this.#choosesPorts ? 'AddAnyPortMapping' : 'AddPortMapping'
    const values: Arguments = [
      ['NewRemoteHost', ''],
      ['NewExternalPort', externalPort],
      ['NewProtocol', transport.toUpperCase()],
      ['NewInternalPort', internalPort],
      ['NewInternalClient', this.#place.localAddress],
      ['NewEnabled', 1],
      ['NewPortMappingDescription', DESCRIPTION],
      ['NewLeaseDuration', leaseSeconds],
    ]
    return this.#try(this.#chosen, action, values, signal)
  }

  async #run(service: Service, action: string, values: Arguments, signal: AbortSignal): Promise<XmlElement> {
    const answer = await this.#try(service, action, values, signal)
    if ('code' in answer) {
      throw new ActionError(answer.code)
    }
    return answer.ok
  }

  /** Sends a SOAP request over HTTP (UPnP Device Architecture 1.0, section 3.2). All values come from this program and need no escaping. */
  async #try({ type, controlUrl }: Service, action: string, values: Arguments, signal: AbortSignal): Promise<Answer> {
    const body =
      '<?xml version="1.0"?>\r\n' +
      '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
      `<u:${action} xmlns:u="${type}">${values.map(([name, value]) => `<${name}>${value}</${name}>`).join('')}</u:${action}>` +
      '</s:Body></s:Envelope>\r\n'
    const headers = {
      'Content-Type': 'text/xml; charset="utf-8"',
      'Content-Length': String(Buffer.byteLength(body)),
      SOAPAction: `"${type}#${action}"`,
    }
    const { status, text } = await askRouter(controlUrl, this.#place, { method: 'POST', headers, body }, signal)
    const document = readXml(text)
    const [ok] = elementsIn(document, `${action}Response`)
    if (status === 200 && ok != null) {
      return { ok }
    }
    const code = Number(textIn(document, 'errorCode'))
    if (!Number.isInteger(code)) {
      throw new GatewayError('MALFORMED', `the router does not answer ${action}: HTTP status ${status}`)
    }
    return { code }
  }
}

function servicesIn(description: XmlElement, place: Place, location: URL): Service[] {
  const base = textIn(description, 'URLBase')
  const from = base == null || base === '' ? location : ownUrl(base, place)
  return elementsIn(description, 'service')
    .map((service) => ({ type: textIn(service, 'serviceType') ?? '', path: textIn(service, 'controlURL') ?? '' }))
    .filter(({ type }) => SERVICES.includes(type))
    .sort((a, b) => SERVICES.indexOf(a.type) - SERVICES.indexOf(b.type))
    .slice(0, MAX_SERVICES)
    .map(({ type, path }) => ({ type, controlUrl: ownUrl(path, place, from) }))
}

/** The port that a version 2 service chose. */
function portIn(answer: XmlElement): number | undefined {
  const text = textIn(answer, 'NewReservedPort')
  return text == null ? undefined : Number(text)
}
