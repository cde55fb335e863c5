import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describeError } from '../../primitives/errors.ts'
import { TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'

/**
 * The ways in which a dial fails, the most telling first: an answer says more than silence. Each has a hint, except those whose hint
 * depends on where the address came from.
 */
const HINTS = {
  'not admitted':
    'that network lets in peers that are registered on its chain: "subnet id" shows the peer ID of this node, and "subnet chain lookup <peer ID>" ' +
    'whether it is registered (with --chain and --subnet-id of that network); a new registration may count only after 5 minutes',
  descriptors: 'a larger "ulimit -n" (systemd: LimitNOFILE=) gives it more',
  'wrong peer': 'the address belongs to another peer: use the peer ID that answered, or look the peer up by its ID alone',
  key: 'the peer runs; what can be read here are ed25519, secp256k1, RSA and ECDSA (P-256, P-384, P-521) keys',
  security: 'the peer runs, but without a security protocol of this node: Noise has to be enabled there, as /noise or /pos-transport/1.0.0',
  muxer: 'the peer runs, but without a stream multiplexer of this node: /yamux/1.0.0 has to be enabled there',
  handshake: 'something answers there, but not as a libp2p peer with Noise does: is it of a known libp2p implementation?',
  'not libp2p': 'another service listens there: is the port right?',
  closed: 'something answers there and ends the connection: the peer may be full or refuse this one, or it is another service',
  undecided: 'the peer runs and has proven its ID, and asks its chain about this node, which may be slow: try again',
  relay:
    'a relay passes calls on to peers that hold a place there, within its limits; the peer may have moved to another relay: by its peer ID alone it is ' +
    'looked up again',
  slow: 'the peer answers, but not in time: does the path lose packets, or is the peer overloaded? Try again',
  silent: 'something listens there and says nothing: is the port right, or is the peer overloaded?',
  name: 'is the name right? /dns4 stands for its IPv4 addresses, /dns6 for its IPv6 addresses, /dns for both',
  address:
    'addresses that are dialled here look like /ip4/127.0.0.1/tcp/38960/p2p/<peer ID>, or begin with /ip6, /dns, /dns4, /dns6 or /dnsaddr',
  'not allowed':
    'addresses that strangers name are dialled where they are public, or in a network of this machine; --allow-private dials private ones too',
  'no quic':
    'QUIC needs the optional package @chainsafe/libp2p-quic, which has binaries for Linux, macOS and Windows; an address with /tcp needs nothing more',
  refused: undefined,
  timeout: undefined,
  unknown: undefined,
} as const

/** What to do about a peer that does not admit this node. */
export const NOT_ADMITTED_HINT = HINTS['not admitted']

/** How a dial can fail. */
export type DialFailureKind = keyof typeof HINTS

const KINDS = Object.keys(HINTS) as DialFailureKind[]

/** What one address came to; the message is one line, written here and never by a library's fault. */
export class DialFailure extends Error {
  override readonly name = 'DialFailure'
  readonly kind: DialFailureKind

  constructor(kind: DialFailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }

  /** Another peer answers at this address: by its key, whose signature may not be checked yet. */
  static wrongPeer(answered: PeerId, expected: PeerId): DialFailure {
    return new DialFailure('wrong peer', `another peer answers there: ${answered.toString()}, not ${expected.toString()}`)
  }

  /** The same with its address before it. */
  at(address: Multiaddr): DialFailure {
    return new DialFailure(this.kind, `${address.toString()}: ${this.message}`, { cause: this.cause ?? this })
  }
}

/** No address led to a connection; the message names each with its own reason. */
export class DialError extends Error {
  override readonly name = 'DialError'
  /** What to do about the most telling of the failures; undefined where it is nothing in particular. */
  readonly hint: string | undefined
  /** How much that failure says, more for more. */
  readonly weight: number
  /** The code of the failure, where it is the peer's own word: other addresses of the peer lead to the same. */
  readonly verdict: 'NOT_ADMITTED' | undefined

  constructor(failures: DialFailure[], options?: ErrorOptions) {
    super(describeError(new AggregateError(failures)), options)
    const rank = Math.min(...failures.map(({ kind }) => KINDS.indexOf(kind)))
    this.hint = HINTS[KINDS[rank] ?? 'unknown']
    this.weight = this.hint == null ? 0 : KINDS.length - rank
    this.verdict = failures.some(({ kind }) => kind === 'not admitted') ? 'NOT_ADMITTED' : undefined
  }
}

/** What was seen of a dial until it failed. */
export interface Seen {
  /** True once the socket was connected. */
  connected: boolean
  /** The security protocol of the handshake, once that is done: the peer proved its ID. */
  secured?: string | undefined
  /** The first bytes that came. */
  bytes: Uint8Array
  /** The protocols that this node offers. */
  security: string[]
  muxers: string[]
}

/** The text for a handshake that fails in any other way. */
export const UNREADABLE_HANDSHAKE = "the peer's handshake could not be read"

/** How many of the first bytes are kept: enough for a multistream header and its answer. */
export const SEEN_BYTES = 64

const HEADER = Buffer.from('\x13/multistream/1.0.0\n')
const REFUSAL = Buffer.from('\x03na\n')

/** How other services greet; of TLS a record with an alert, or with a handshake. */
const SERVICES: Array<[prefixes: Buffer[], name: string]> = [
  [[Buffer.from('HTTP/')], 'an HTTP server'],
  [[Buffer.from('SSH-')], 'an SSH server'],
  [[Buffer.from([0x15, 3]), Buffer.from([0x16, 3])], 'a TLS server'],
]

/** What a failed dial came to. `ended` is why it was given up, where it was. */
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
  // Node gives one error for all addresses of a name
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
      ? ['closed', 'connected, and the other side ended the connection without a word']
      : ['silent', `connected, and then nothing came: ${describeError(ended)}`]
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
    return ['slow', `the peer did not go on with its handshake: ${describeError(ended)}`]
  }
  return isEnd(cause) ? ['closed', 'the peer ended the connection during the handshake'] : ['handshake', UNREADABLE_HANDSHAKE]
}

/** A node of the template asks its chain about a peer that has proven its ID, and ends the connection where the chain says no. */
function afterTemplateHandshake(cause: unknown, ended: unknown): [DialFailureKind, string] {
  if (ended != null) {
    return ['undecided', `the peer did not say whether it admits this node: ${describeError(ended)}`]
  }
  return isUnreadable(cause)
    ? ['handshake', UNREADABLE_HANDSHAKE]
    : ['not admitted', 'the peer did not admit this node: it ended the connection right after the handshake']
}

/** Bytes that cannot be decrypted, or are no line of a negotiation. An end comes in many more forms. */
function isUnreadable(cause: unknown): boolean {
  return cause instanceof Error && /chacha20poly1305|InvalidMessage|InvalidDataLength|RangeError/.test(`${cause.name} ${cause.message}`)
}

/** Those of the protocols that the peer refused, in turn; none where it took one of them. */
function refusedOf(bytes: Uint8Array, protocols: string[]): string[] {
  const refused = protocols.filter((_, index) => startsWith(bytes.subarray(index * REFUSAL.length), REFUSAL))
  const took = bytes.length > refused.length * REFUSAL.length
  return took && refused.length < protocols.length ? [] : refused
}

/** Goes by the text: libp2p wraps the error of a failed encryption and keeps nothing else. Of an event that ended a stream the text is `[object Event]`. */
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
