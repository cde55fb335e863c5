import type { MultiaddrConnection, PeerId, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../primitives/address.ts'
import { kindOf, type NamedOver } from '../../primitives/address-kind.ts'
import { describeError } from '../../primitives/errors.ts'
import type { DialBudget } from '../dial/dial-budget.ts'
import { DialFailure, explainDial, SEEN_BYTES, type Seen } from '../dial/dial-failure.ts'
import { type DialOutcome, GivenUp } from '../dial/dial-outcome.ts'
import { type Permit, permitOf } from '../dial/dial-permit.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { noteFirstBytes } from './first-bytes.ts'
import { handshakeFailure, securedWith } from './noise-handshake.ts'

/** A transport factory as accepted by libp2p. */
export type TransportFactory<C> = (components: C) => Transport

export interface GuardedTransportInit {
  /** Decides which addresses may be dialled. */
  policy: DialPolicy
  /** The budget for dials that libp2p starts itself. */
  background: DialBudget
  /** True if no more connections fit. @default never full */
  isFull?: (() => boolean) | undefined
  /** Called for a peer that declares that it does not admit this node. */
  onRefused?: ((peerId: PeerId, reason: string) => void) | undefined
  /** Called with the outcome of each dial. */
  onDialled?: ((outcome: DialOutcome) => void) | undefined
}

/** Resolves the host name of one dialled address. */
export interface NameInDial {
  /** Dial options for resolving the name according to the policy. @throws DialFailure if the address must not be dialled */
  options(address: Multiaddr): object
  /** Why none of the resolved addresses may be dialled. */
  readonly refusal: DialFailure | undefined
  /** The IP addresses to dial. */
  readonly resolved: string[]
}

/** Makes the `NameInDial` of one dial. */
export type ResolveName = (permit: Permit, namedOver: NamedOver) => NameInDial

/**
 * Guards the dials of a transport. Addresses named by others are checked first. A dial that libp2p starts itself takes from the background
 * budget. A failed dial throws a `DialFailure`.
 * @param resolveName for a transport with a configurable lookup. Other transports resolve names internally, so they dial only names from
 * the user
 */
export function guardedTransport<C>(
  make: TransportFactory<C>,
  { policy, background, isFull = () => false, onRefused, onDialled }: GuardedTransportInit,
  resolveName: ResolveName = (_permit, namedOver) => new UnseenName(namedOver),
): TransportFactory<C> {
  return (components) => {
    const transport = make(components)
    const dial = transport.dial.bind(transport)
    const guarded: Transport['dial'] = async (address, options) => {
      const given = permitOf(options)
      const namedOver = given?.trusted === true ? 'trusted' : policy.wayOf(address)
      checkAllowed(policy.refusalOf(address, namedOver), isFull())
      const peerId = peerIdOf(address)
      const permit = given ?? takenFrom(background, peerId)
      const startedAtMs = performance.now()
      const onConnected = (): void => permit.onConnected?.(performance.now() - startedAtMs)
      const seen: Seen = { connected: false, bytes: new Uint8Array(0), ...offered(options.upgrader) }
      const name = resolveName(permit, namedOver)
      try {
        const named = { ...options, ...name.options(address), upgrader: watching(options.upgrader, seen, onConnected) }
        const connection = await dial(address, named as Parameters<Transport['dial']>[1])
        policy.noteResolved(connection, name.resolved)
        return connection
      } catch (cause) {
        const failure = name.refusal ?? explainDial(cause, seen, options.signal.aborted ? options.signal.reason : undefined)
        tellRefusal(failure, peerId, onRefused)
        throw failure
      }
    }
    transport.dial = async (address, options) => {
      const startedAtMs = performance.now()
      const tell = (outcome: DialOutcome['outcome'], reason?: string): void =>
        onDialled?.({ address, peerId: peerIdOf(address), outcome, reason, ms: performance.now() - startedAtMs })
      try {
        const connection = await guarded(address, options)
        tell('connected')
        return connection
      } catch (failure) {
        const givenUp = options.signal.aborted && options.signal.reason instanceof GivenUp
        tell(givenUp ? 'given up' : failure instanceof DialFailure ? failure.kind : 'unknown', describeError(failure))
        throw failure
      }
    }
    return transport
  }
}

/** A name that the transport resolves internally. Its IP addresses are not visible here. */
class UnseenName implements NameInDial {
  readonly refusal = undefined
  readonly resolved: string[] = []
  readonly #namedOver: NamedOver

  constructor(namedOver: NamedOver) {
    this.#namedOver = namedOver
  }

  options(address: Multiaddr): object {
    if (this.#namedOver !== 'trusted' && kindOf(address) === 'name') {
      throw new DialFailure('not allowed', 'the transport resolves names unchecked, so such a name is dialled only if the user gives it')
    }
    return {}
  }
}

/** @throws DialFailure */
function checkAllowed(refusal: string | undefined, isFull: boolean): void {
  if (refusal != null) {
    throw new DialFailure('not allowed', refusal)
  }
  if (isFull) {
    throw new DialFailure('descriptors', 'the limit of open files of this process leaves no room for another connection')
  }
}

function tellRefusal({ kind, message }: DialFailure, peerId: PeerId | undefined, onRefused: GuardedTransportInit['onRefused']): void {
  if (kind === 'not admitted' && peerId != null) {
    onRefused?.(peerId, message)
  }
}

/** Creates the permit of a dial that libp2p started itself. @throws DialFailure if the budget is exhausted */
function takenFrom(background: DialBudget, peerId: PeerId | undefined): Permit {
  if (!background.take(peerId)) {
    throw new DialFailure('not allowed', 'this dial was not requested, and the budget of background dials, or of this peer, is used up')
  }
  return { trusted: false, more: () => background.take(peerId) }
}

function offered(upgrader: Upgrader): Pick<Seen, 'security' | 'muxers'> {
  return { security: [...upgrader.getConnectionEncrypters().keys()], muxers: [...upgrader.getStreamMuxers().keys()] }
}

/** Wraps an upgrader. Records the first bytes of the connection, and throws the reason of a failed handshake. */
function watching(upgrader: Upgrader, seen: Seen, onConnected: () => void): Upgrader {
  const upgradeOutbound = async (connection: MultiaddrConnection, options: Parameters<Upgrader['upgradeOutbound']>[1]) => {
    seen.connected = true
    onConnected()
    noteFirstBytes(connection, seen, SEEN_BYTES)
    joinFirstBytes(connection)
    if (options?.initiator === false) {
      // libp2p reverses the handshake, but the muxer follows the connection's direction: both sides would act as clients
      connection.direction = 'inbound'
    }
    try {
      return await upgrader.upgradeOutbound(connection, options as Parameters<Upgrader['upgradeOutbound']>[1] & { skipEncryption: never })
    } catch (cause) {
      seen.secured = securedWith(connection)
      throw handshakeFailure(connection) ?? cause
    }
  }
  return new Proxy(upgrader, { get: (own, name) => (name === 'upgradeOutbound' ? upgradeOutbound : Reflect.get(own, name)) })
}

/**
 * Sends the first bytes in one write. libp2p writes the length and the text of each line separately. A foreign service may answer the first
 * write and hang up: the next write then fails, and Node drops the answer unread.
 */
function joinFirstBytes(connection: MultiaddrConnection): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => {
    connection.send = send
    return send(data.subarray())
  }
}
