import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describeError } from '../../primitives/errors.ts'
import { TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'

/**
 * Kinds of dial failures, most informative first: an answer says more than silence. Each kind has a hint, unless its hint depends on the
 * source of the address.
 */
const HINTS = {
  'not admitted':
    'that network lets in peers that are registered on its chain: "subnet id" shows the peer ID of this node, and "subnet chain lookup <peer ID>" ' +
    'whether it is registered (with --chain and --subnet-id of that network); a new registration may count only after 5 minutes',
  descriptors: 'raise the limit of open files: "ulimit -n", or LimitNOFILE= under systemd',
  'wrong peer': 'the address belongs to another peer: use the peer ID that answered, or look the peer up by its ID alone',
  key: 'the peer runs, but this node reads only ed25519, secp256k1, RSA and ECDSA (P-256, P-384, P-521) keys',
  security: 'the peer runs, but shares no security protocol with this node: enable Noise there, as /noise or /pos-transport/1.0.0',
  muxer: 'the peer runs, but shares no stream multiplexer with this node: enable /yamux/1.0.0 there',
  handshake: 'something answers there, but not like a libp2p peer with Noise: does the peer run a known libp2p implementation?',
  'not libp2p': 'another service listens there: is the port right?',
  closed:
    'something answers there and ends the connection: the peer may be full, the peer may refuse this node, or another service listens there',
  undecided: 'the peer runs and has proven its ID, but is still checking this node on its chain, which may be slow: try again',
  relay:
    'a relay forwards connections only to peers with a reservation, within its limits; the peer may have moved to another relay: use the peer ID ' +
    'alone to look the peer up again',
  slow: 'the peer answers, but not in time: does the path lose packets, or is the peer overloaded? Try again',
  silent: 'something listens there and says nothing: is the port right, or is the peer overloaded?',
  name: 'is the name right? /dns4 stands for its IPv4 addresses, /dns6 for its IPv6 addresses, /dns for both',
  address: 'use an address like /ip4/127.0.0.1/tcp/38960/p2p/<peer ID>, or one that begins with /ip6, /dns, /dns4, /dns6 or /dnsaddr',
  'not allowed':
    'an address that a stranger announced is dialled only if it is public or in a network of this machine; --allow-private dials private ones too',
  'no quic':
    'QUIC needs the optional package @chainsafe/libp2p-quic, which has binaries for Linux, macOS and Windows; an address with /tcp needs nothing more',
  refused: undefined,
  timeout: undefined,
  unknown: undefined,
} as const

/** Hint for a peer that does not admit this node. */
export const NOT_ADMITTED_HINT = HINTS['not admitted']

/** The kinds of dial failures. */
export type DialFailureKind = keyof typeof HINTS

const KINDS = Object.keys(HINTS) as DialFailureKind[]

/** The failure of one address. The message is one line, written here and not taken from a library error. */
export class DialFailure extends Error {
  override readonly name = 'DialFailure'
  readonly kind: DialFailureKind

  constructor(kind: DialFailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }

  /** Another peer answered at this address, judged by its key. The signature may not be verified yet. */
  static wrongPeer(answered: PeerId, expected: PeerId): DialFailure {
    return new DialFailure('wrong peer', `another peer answers there: ${answered.toString()}, not ${expected.toString()}`)
  }

  /** Returns the same failure, prefixed with its address. */
  at(address: Multiaddr): DialFailure {
    return new DialFailure(this.kind, `${address.toString()}: ${this.message}`, { cause: this.cause ?? this })
  }
}

/** No address led to a connection. The message lists every address with its reason. */
export class DialError extends Error {
  override readonly name = 'DialError'
  /** Hint for the most informative failure. Undefined if it has none. */
  readonly hint: string | undefined
  /** How informative that failure is. Higher is more. */
  readonly weight: number
  /** Error code, if the peer itself decided the failure. Its other addresses lead to the same result. */
  readonly verdict: 'NOT_ADMITTED' | undefined

  constructor(failures: DialFailure[], options?: ErrorOptions) {
    super(describeError(new AggregateError(failures)), options)
    const rank = Math.min(...failures.map(({ kind }) => KINDS.indexOf(kind)))
    this.hint = HINTS[KINDS[rank] ?? 'unknown']
    this.weight = this.hint == null ? 0 : KINDS.length - rank
    this.verdict = failures.some(({ kind }) => kind === 'not admitted') ? 'NOT_ADMITTED' : undefined
  }
}

/** Observations of a dial before it failed. */
export interface Seen {
  /** True once the socket was connected. */
  connected: boolean
  /** Security protocol of the completed handshake, which proved the peer ID. */
  secured?: string | undefined
  /** First bytes received. */
  bytes: Uint8Array
  /** Protocols that this node offers. */
  security: string[]
  muxers: string[]
}

/** Message of an unclassified handshake failure. */
export const UNREADABLE_HANDSHAKE = "the peer's handshake could not be read"

/** Number of first bytes kept: enough for a multistream header and its answer. */
export const SEEN_BYTES = 64

const HEADER = Buffer.from('\x13/multistream/1.0.0\n')
const REFUSAL = Buffer.from('\x03na\n')

/** Greetings of other services. For TLS: an alert record or a handshake record. */
const SERVICES: Array<[prefixes: Buffer[], name: string]> = [
  [[Buffer.from('HTTP/')], 'an HTTP server'],
  [[Buffer.from('SSH-')], 'an SSH server'],
  [[Buffer.from([0x15, 3]), Buffer.from([0x16, 3])], 'a TLS server'],
]

/** Classifies a failed dial. `ended` is the reason if the dial was aborted. */
export function explainDial(cause: unknown, seen: Seen, ended: unknown): DialFailure {
  if (cause instanceof DialFailure) {
    return cause
  }
  const [kind, text] = seen.connected ? afterConnect(cause, seen, ended) : beforeConnect(cause, ended)
  return new DialFailure(kind, text, { cause })
}

function beforeConnect(cause: unknown, ended: unknown): [DialFailureKind, string] {
  if (ended != null) {
    return ['timeout', describeError(ended)]
  }
  // Node combines the errors of all addresses of a name
  const failures = cause instanceof AggregateError ? cause.errors : [cause]
  const codes = failures.map((failure) => (failure instanceof Error && 'code' in failure ? String(failure.code) : ''))
  if (codes.some((code) => code === 'ENOTFOUND' || code.startsWith('EAI_'))) {
    return ['name', describeError(cause)]
  }
  return [codes.every((code) => code === '') ? 'unknown' : 'refused', describeError(cause)]
}

function afterConnect(cause: unknown, { bytes, secured, security, muxers }: Seen, ended: unknown): [DialFailureKind, string] {
  if (bytes.length === 0) {
    return ended == null
      ? ['closed', 'connected, but the other side ended the connection without an answer']
      : ['silent', `connected, but nothing was received: ${describeError(ended)}`]
  }
  if (!startsWith(bytes, HEADER)) {
    return ['not libp2p', `${serviceOf(bytes)} answers there, not a libp2p peer`]
  }
  const refused = secured == null ? refusedOf(bytes.subarray(HEADER.length), security) : []
  if (refused.length > 0) {
    const rest =
      refused.length === security.length
        ? 'offers no other security protocol'
        : `also offers ${security.slice(refused.length).join(' and ')}`
    return ['security', `the peer refused ${refused.join(' and ')}: this node ${rest}`]
  }
  if (cause instanceof Error && cause.name === 'MuxerUnavailableError' && cause.message.includes('could not negotiate')) {
    return ['muxer', `the peer refused ${muxers.join(' and ')}: this node has no other stream multiplexer`]
  }
  if (secured === TEMPLATE_NOISE_PROTOCOL_ID) {
    return afterTemplateHandshake(cause, ended)
  }
  if (ended != null) {
    return ['slow', `the peer did not continue the handshake: ${describeError(ended)}`]
  }
  return isEnd(cause) ? ['closed', 'the peer ended the connection during the handshake'] : ['handshake', UNREADABLE_HANDSHAKE]
}

/**
 * Explains a failure after the handshake. A template node then checks the peer on its chain, and closes the connection if the chain does
 * not list it.
 */
function afterTemplateHandshake(cause: unknown, ended: unknown): [DialFailureKind, string] {
  if (ended != null) {
    return ['undecided', `the peer did not say whether it admits this node: ${describeError(ended)}`]
  }
  return isUnreadable(cause)
    ? ['handshake', UNREADABLE_HANDSHAKE]
    : ['not admitted', 'the peer did not admit this node: it ended the connection right after the handshake']
}

/** True for bytes that cannot be decrypted or parsed as a negotiation. The end of a stream takes many other forms. */
function isUnreadable(cause: unknown): boolean {
  return cause instanceof Error && /chacha20poly1305|InvalidMessage|InvalidDataLength|RangeError/.test(`${cause.name} ${cause.message}`)
}

/** Returns the protocols that the peer refused, in order. Empty if it accepted one. */
function refusedOf(bytes: Uint8Array, protocols: string[]): string[] {
  const refused = protocols.filter((_, index) => startsWith(bytes.subarray(index * REFUSAL.length), REFUSAL))
  const took = bytes.length > refused.length * REFUSAL.length
  return took && refused.length < protocols.length ? [] : refused
}

/**
 * Matches the text: libp2p wraps the error of a failed encryption and keeps nothing else. For an event that ended a stream, the text is
 * `[object Event]`.
 */
function isEnd(cause: unknown): boolean {
  return (
    cause instanceof Error &&
    /unexpected eof|reset|closed|closing|ECONNRESET|EPIPE|\[object \w*Event\]/i.test(`${cause.name} ${cause.message}`)
  )
}

function serviceOf(bytes: Uint8Array): string {
  const greeting = SERVICES.find(([prefixes]) => prefixes.some((prefix) => startsWith(bytes, prefix)))
  return greeting?.[1] ?? 'another service'
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, prefix.length)).equals(prefix)
}
