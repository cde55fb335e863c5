import { SubnetError } from '../../primitives/errors.ts'
import type { MappingProtocol } from './port-mapping.ts'

/** A router, and this machine's address in its network. Both are IPv4. */
export interface Place {
  router: string
  localAddress: string
}

export type Transport = 'tcp' | 'udp'

/** A port of this machine and the router's port that forwards to it. */
export interface MappedPort {
  transport: Transport
  internalPort: number
  externalPort: number
}

/** A mapping granted by a router. */
export interface Lease {
  /** May differ from the requested port. */
  externalPort: number
  /** Undefined for a permanent mapping. */
  leaseMs: number | undefined
}

/** A router that can forward ports. Its answers are untrusted: the caller decides how to use the addresses and ports. */
export interface Gateway {
  readonly protocol: MappingProtocol
  /** The external IPv4 address, of any kind. @throws GatewayError, or the signal's reason */
  externalAddress(signal: AbortSignal): Promise<string>
  /** Maps a port or renews its mapping. @throws GatewayError, or the signal's reason */
  map(port: MappedPort, leaseMs: number, signal: AbortSignal): Promise<Lease>
  /** Removes a mapping. A missing mapping is not an error. @throws GatewayError, or the signal's reason */
  unmap(port: MappedPort, signal: AbortSignal): Promise<void>
}

/** `NO_ANSWER`: no device answered the protocol. `REFUSED`: the router refused. `MALFORMED`: the answer is unusable. */
export class GatewayError extends SubnetError {
  override readonly name = 'GatewayError'
  readonly code = 'UNREACHABLE'
  readonly why: 'NO_ANSWER' | 'REFUSED' | 'MALFORMED'

  constructor(why: GatewayError['why'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.why = why
  }
}

/** Wraps an error that is not a `GatewayError`, such as a socket error, as `NO_ANSWER`. */
export function asNoAnswer(error: unknown, what: string): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('NO_ANSWER', what, { cause: error })
}
