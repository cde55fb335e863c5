import { SubnetError } from '../../primitives/errors.ts'
import type { MappingProtocol } from './port-mapping.ts'

/** A router, and the address of this machine in its network. Both are IPv4. */
export interface Place {
  router: string
  localAddress: string
}

export type Transport = 'tcp' | 'udp'

/** A port of this machine, and the port of the router that is to lead there. */
export interface MappedPort {
  transport: Transport
  internalPort: number
  externalPort: number
}

/** What a router gave. */
export interface Lease {
  /** May be another one than was asked for. */
  externalPort: number
  /** Undefined for a mapping that stays until it is removed. */
  leaseMs: number | undefined
}

/** A router that can be asked to forward ports. Every answer may be a lie: its caller judges what the addresses and ports are good for. */
export interface Gateway {
  readonly protocol: MappingProtocol
  /** An IPv4 address, of any kind. @throws GatewayError, or the signal's reason */
  externalAddress(signal: AbortSignal): Promise<string>
  /** Maps a port, or renews its mapping. @throws GatewayError, or the signal's reason */
  map(port: MappedPort, leaseMs: number, signal: AbortSignal): Promise<Lease>
  /** One that is not there is no error. @throws GatewayError, or the signal's reason */
  unmap(port: MappedPort, signal: AbortSignal): Promise<void>
}

/** `NO_ANSWER`: nobody there speaks the protocol. `REFUSED`: the router says no. `MALFORMED`: what it says cannot be used. */
export class GatewayError extends SubnetError {
  override readonly name = 'GatewayError'
  readonly code = 'UNREACHABLE'
  readonly why: 'NO_ANSWER' | 'REFUSED' | 'MALFORMED'

  constructor(why: GatewayError['why'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.why = why
  }
}

/** @throws the reason, of whatever is none of a gateway's own errors: a socket's */
export function asNoAnswer(error: unknown, what: string): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('NO_ANSWER', what, { cause: error })
}
