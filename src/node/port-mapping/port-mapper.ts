import { isIPv4 } from 'node:net'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { isRelayed, kindOf, kindOfIp } from '../../primitives/address-kind.ts'
import { type Backoff, backoffMs } from '../../primitives/backoff.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { type Gateway, GatewayError, type MappedPort, type Place } from './gateway.ts'
import { type MappedAddress, notAsked, type PortMapping } from './port-mapping.ts'

export interface PortMapperInit {
  /** Addresses of the node's listeners. */
  listening(): Multiaddr[]
  /** The router of this machine's private network. */
  place(): Promise<Place | undefined>
  /** Ways to find the router's gateway, cheapest first. Each throws if the router does not answer. */
  ways: ReadonlyArray<(place: Place, signal: AbortSignal) => Promise<Gateway>>
  /** Called after each change of the mappings. @param gone external addresses that no longer lead to this node */
  onChange(gone: Multiaddr[]): void
  log: Logger
}

/** Requested lease, in milliseconds. Renewed after half of it. */
const LEASE_MS = 30 * 60_000
/** A shorter lease counts as a refusal, because it would need constant renewal. */
const MIN_LEASE_MS = 2 * 60_000
/** Maximum mapped ports. */
const MAX_PORTS = 4
/** Time limit for finding a router and all its requests in one round. */
const ROUND_MS = 30_000
/** Retry delays in milliseconds, with and without a current lease. */
const RENEW_AGAIN: Backoff = { firstMs: 30_000, maxMs: 300_000 }
const ASK_AGAIN: Backoff = { firstMs: 300_000, maxMs: 3_600_000 }
/** Maximum wait for the router when the node stops, in milliseconds. */
const UNMAP_MS = 1_000
const [MIN_PORT, MAX_PORT] = [1, 65_535]

/** A listener and the port to map. */
interface Wanted {
  internal: Multiaddr
  port: MappedPort
}

interface Held extends MappedAddress {
  port: MappedPort
  gateway: Gateway
}

/**
 * Asks this network's router to forward the node's listening ports: at the start, before a lease ends, and when the network changes. Asks
 * nothing if the node has a public address or is in no private network with a router. The router's answers are untrusted: peers have to
 * dial the address first.
 */
export class PortMapper {
  readonly #init: PortMapperInit
  readonly #closing = new AbortController()
  /** Mappings that the router may have created, even if its answer was lost. By internal address. */
  readonly #asked = new Map<string, { gateway: Gateway; port: MappedPort }>()
  #held: Held[] = []
  #place: Place | undefined
  #gateway: Gateway | undefined
  #running: Promise<void> | undefined
  #wake: (() => void) | undefined
  /** The place and ports of the last round. */
  #subject = ''
  /** True if the network may have changed during a round. */
  #isStale = false
  #failures = 0
  #told: Pick<PortMapping, 'status' | 'detail'> = { status: 'asking', detail: 'the router has not answered yet' }

  constructor(init: PortMapperInit) {
    this.#init = init
  }

  get state(): PortMapping {
    const mappings = this.#held.map(({ multiaddr, internal, untilMs }) => ({ multiaddr, internal, untilMs }))
    return this.#told.status === 'unneeded'
      ? notAsked('unneeded', this.#told.detail)
      : { ...this.#told, router: this.#place?.router, protocol: (this.#gateway ?? this.#held[0]?.gateway)?.protocol, mappings }
  }

  /** Call once the node listens. Returns at once. */
  start(): void {
    this.#running ??= this.#run().catch((error) => this.#init.log.warn('port mapping has ended', error))
  }

  /** Call when the machine's addresses may have changed. The router is asked only if they have. */
  look(): void {
    this.#isStale = true
    this.#wake?.()
  }

  /** Removes the mappings within one second. */
  async stop(): Promise<void> {
    this.#closing.abort(new Error('the node stops'))
    this.#wake?.()
    await this.#running
    using deadline = new Deadline(UNMAP_MS).ref()
    const asked = [...this.#asked.values()]
    this.#asked.clear()
    this.#held = []
    await Promise.all(asked.map(async ({ gateway, port }) => this.#unmap(gateway, port, deadline.signal)))
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      let againMs: number | undefined
      try {
        againMs = await this.#round()
        this.#failures = 0
      } catch (error) {
        againMs = signal.aborted ? 0 : this.#failed(error)
      }
      await this.#waitFor(againMs)
    }
  }

  /** Waits until the time is over or the place or ports have changed. */
  async #waitFor(ms: number | undefined): Promise<void> {
    const untilMs = Date.now() + (ms ?? Number.POSITIVE_INFINITY)
    for (let leftMs = untilMs - Date.now(); leftMs > 0 && !this.#closing.signal.aborted; leftMs = untilMs - Date.now()) {
      if (!this.#isStale) {
        await this.#pause(leftMs)
      }
      if (this.#isStale) {
        this.#isStale = false
        if (await this.#hasMoved()) {
          return
        }
      }
    }
  }

  async #hasMoved(): Promise<boolean> {
    try {
      const place = await raceSignal(this.#init.place(), this.#closing.signal)
      return subjectOf(place, this.#wanted(place)) !== this.#subject
    } catch (error) {
      this.#init.log.debug('the routes of this machine could not be read', error)
      return false
    }
  }

  /** Requests all wanted mappings. Returns the delay until the next round in milliseconds. Undefined means to wait for a change. */
  async #round(): Promise<number | undefined> {
    using deadline = new Deadline(ROUND_MS, this.#closing.signal)
    this.#isStale = false
    const place = await deadline.race(this.#init.place())
    const wanted = this.#wanted(place)
    this.#subject = subjectOf(place, wanted)
    if (place == null || typeof wanted === 'string') {
      this.#move(undefined)
      this.#tell({ status: 'unneeded', detail: typeof wanted === 'string' ? wanted : NO_ROUTER })
      return undefined
    }
    this.#move(place)
    this.#gateway ??= await this.#find(place, deadline.signal)
    const gateway = this.#gateway
    const host = await gateway.externalAddress(deadline.signal)
    if (!isIPv4(host) || kindOfIp(host) !== 'public') {
      throw new GatewayError(
        'REFUSED',
        `the external address ${host} of the router is not public: the router is behind another NAT, at home or at the provider`,
      )
    }
    const { held, refused } = await this.#mapAll(gateway, host, wanted, deadline.signal)
    this.#hold(held)
    this.#tell({ status: 'mapped', detail: refused == null ? '' : describeError(refused) })
    return Math.min(...held.map(({ untilMs }) => (untilMs == null ? LEASE_MS : untilMs - Date.now()))) / 2
  }

  /** The ports to request, or the reason for not requesting any. */
  #wanted(place: Place | undefined): Wanted[] | string {
    const listening = this.#init.listening().filter((address) => address.getComponents()[0]?.name === 'ip4' && !isRelayed(address))
    const kinds = new Set(listening.map(kindOf))
    if (!kinds.has('private') && !kinds.has('public')) {
      return 'the node listens on no IPv4 address of a network'
    }
    if (kinds.has('public')) {
      return 'the node has a public IPv4 address'
    }
    if (place == null) {
      return NO_ROUTER
    }
    const wanted = listening.flatMap((internal) => wantedOf(internal, place.localAddress) ?? [])
    return wanted.length === 0 ? 'the node listens on no address in the network of its router' : wanted.slice(0, MAX_PORTS)
  }

  /** Forgets mappings of another place, because its router cannot be asked from here. */
  #move(place: Place | undefined): void {
    if (place?.router !== this.#place?.router || place?.localAddress !== this.#place?.localAddress) {
      this.#place = place
      this.#gateway = undefined
      this.#failures = 0
      this.#asked.clear()
      this.#hold([])
    }
  }

  async #find(place: Place, signal: AbortSignal): Promise<Gateway> {
    const { ways, log } = this.#init
    log.info('the router is asked for a port', undefined, { router: place.router })
    const problems: string[] = []
    for (const way of ways) {
      try {
        return await way(place, signal)
      } catch (error) {
        signal.throwIfAborted()
        const problem = describeError(error)
        log.debug('the router gave no port', problem, { router: place.router })
        problems.push(problem)
      }
    }
    throw new GatewayError('NO_ANSWER', problems.join('; '))
  }

  /** @throws GatewayError if no port could be mapped */
  async #mapAll(gateway: Gateway, host: string, wanted: Wanted[], signal: AbortSignal): Promise<{ held: Held[]; refused: unknown }> {
    const held: Held[] = []
    let refused: unknown
    for (const each of wanted) {
      try {
        held.push(await this.#map(gateway, host, each, signal))
      } catch (error) {
        refused = error
      }
    }
    if (held.length === 0) {
      throw refused
    }
    return { held, refused }
  }

  async #map(gateway: Gateway, host: string, { internal, port }: Wanted, signal: AbortSignal): Promise<Held> {
    const key = internal.toString()
    // an existing mapping is renewed with the same port
    const before = this.#held.find((each) => each.internal.equals(internal))
    const asked = before?.port ?? port
    this.#asked.set(key, { gateway, port: asked })
    const { externalPort, leaseMs } = await gateway.map(asked, LEASE_MS, signal)
    if (!Number.isInteger(externalPort) || externalPort < MIN_PORT || externalPort > MAX_PORT) {
      throw new GatewayError('MALFORMED', 'the router gave an invalid port')
    }
    const given = { ...asked, externalPort }
    this.#asked.set(key, { gateway, port: given })
    if (leaseMs != null && leaseMs < MIN_LEASE_MS) {
      throw new GatewayError('REFUSED', `the router gives a port for only ${leaseMs / 1_000} s`)
    }
    const [, , ...rest] = internal.getComponents()
    const external = multiaddr(`/ip4/${host}/${port.transport}/${externalPort}${multiaddrText(rest)}`)
    const fields = { router: this.#place?.router, protocol: gateway.protocol, address: external, to: internal }
    if (before?.multiaddr.equals(external) === true) {
      this.#init.log.debug('the router renewed a port', undefined, fields)
    } else {
      this.#init.log.info('the router forwards a port', undefined, fields)
    }
    // a lease longer than requested is cut to the requested one
    const untilMs = leaseMs == null ? undefined : Date.now() + Math.min(leaseMs, LEASE_MS)
    return { multiaddr: external, internal, untilMs, port: given, gateway }
  }

  /** @returns the delay until the next attempt, in milliseconds */
  #failed(error: unknown): number {
    const detail = describeError(error)
    const now = Date.now()
    const left = this.#held.filter(({ untilMs }) => untilMs == null || untilMs > now)
    this.#init.log.info('the router did not forward or renew the port', detail, { router: this.#place?.router })
    // after a restart, a router may serve its description at another URL
    this.#gateway = undefined
    // a refusal is definite, so existing mappings are dropped
    this.#hold(error instanceof GatewayError && error.why !== 'NO_ANSWER' ? [] : left)
    const ends = this.#held.map(({ untilMs }) => (untilMs ?? Number.POSITIVE_INFINITY) - now)
    const again = backoffMs(this.#failures++, ends.length > 0 ? RENEW_AGAIN : ASK_AGAIN)
    this.#tell(ends.length > 0 ? { status: 'mapped', detail } : { status: 'unmapped', detail })
    return Math.min(again, ...ends)
  }

  #hold(held: Held[]): void {
    const gone = this.#held.filter(({ multiaddr }) => !held.some((each) => each.multiaddr.equals(multiaddr)))
    const isNew = held.some(({ multiaddr }) => !this.#held.some((each) => each.multiaddr.equals(multiaddr)))
    this.#held = held
    if (gone.length > 0 || isNew) {
      this.#init.onChange(gone.map(({ multiaddr }) => multiaddr))
    }
  }

  #tell(told: Pick<PortMapping, 'status' | 'detail'>): void {
    if (told.status === 'unneeded' && told.detail !== this.#told.detail) {
      this.#init.log.info('the router is not asked for a port', told.detail)
    }
    this.#told = told
  }

  async #unmap(gateway: Gateway, port: MappedPort, signal: AbortSignal): Promise<void> {
    const fields = { router: this.#place?.router, protocol: gateway.protocol, port: port.externalPort }
    try {
      await gateway.unmap(port, signal)
      this.#init.log.info('the router no longer forwards the port', undefined, fields)
    } catch (error) {
      this.#init.log.info('the router did not remove the port mapping', error, fields)
    }
  }

  /** Ends early after `look` and `stop`. @param ms may be infinite */
  async #pause(ms: number): Promise<void> {
    const over = Promise.withResolvers<void>()
    const timer = Number.isFinite(ms) ? setTimeout(over.resolve, ms).unref() : undefined
    this.#wake = over.resolve
    await over.promise
    this.#wake = undefined
    clearTimeout(timer)
  }
}

const NO_ROUTER = 'this machine is in no private IPv4 network with a router'

function subjectOf(place: Place | undefined, wanted: Wanted[] | string): string {
  const ports = typeof wanted === 'string' ? wanted : wanted.map(({ internal }) => internal.toString()).join()
  return `${place?.router} ${place?.localAddress} ${ports}`
}

/** Undefined for a listener on another address, or without a TCP or UDP port. */
function wantedOf(internal: Multiaddr, localAddress: string): Wanted | undefined {
  const [host, transport] = internal.getComponents()
  const name = transport?.name
  const internalPort = Number(transport?.value)
  return host?.value === localAddress && (name === 'tcp' || name === 'udp') && internalPort > 0
    ? { internal, port: { transport: name, internalPort, externalPort: internalPort } }
    : undefined
}

function multiaddrText(components: ReturnType<Multiaddr['getComponents']>): string {
  return components.map(({ name, value }) => `/${name}${value == null ? '' : `/${value}`}`).join('')
}
