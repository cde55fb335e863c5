import { yamux } from '@chainsafe/libp2p-yamux'
import type { PrivateKey } from '@libp2p/interface'
import type { TransportManager } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import { DialBackResponseSchema, DialBackSchema } from '../../gen/libp2p/autonat/v2/autonat_pb.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { noiseForAllKeys } from '../adapters/noise-handshake.ts'
import { DialFailure } from '../dial/dial-failure.ts'
import { permitted } from '../dial/dial-permit.ts'
import { NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'
import { autonatStream, DIAL_BACK_PROTOCOL_ID } from './autonat-stream.ts'
import type { DialledBack } from './dial-back-server.ts'

export interface BackDiallerInit {
  privateKey: PrivateKey
  /** Guarded transports. The dial policy applies to each dial. */
  transports: NonNullable<Libp2pOptions['transports']>
}

/** Time limit for connecting and the handshake, in milliseconds. */
const DIAL_TIMEOUT_MS = 10_000
/** Time limit for sending the nonce and receiving its acknowledgement, in milliseconds. */
const PROOF_TIMEOUT_MS = 5_000
/** Allows exactly one dial per request. Requests are rate-limited, and names are not dialled. */
const ONE_DIAL = { trusted: false, more: (): boolean => false }
/** Local errors, which say nothing about the dialled address. */
const NO_WAY = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EMFILE', 'ENFILE', 'ENOBUFS', 'EACCES', 'EPERM'])
const OWN_KINDS = new Set(['not allowed', 'descriptors', 'address', 'no quic'])

/**
 * Dials a peer once, on a connection that is hidden from the node. It uses a separate stack with the same identity, but without services
 * and listeners. Calls of this node therefore never use a connection that is about to close.
 */
export async function dialBack(
  { privateKey, transports }: BackDiallerInit,
  address: Multiaddr,
  nonce: bigint,
  signal: AbortSignal,
): Promise<DialledBack> {
  const stack = await createLibp2p({
    privateKey,
    transports,
    connectionEncrypters: [NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID].map((protocol) => noiseForAllKeys({ protocol })),
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { transportManager: ({ transportManager }: { transportManager: TransportManager }) => transportManager },
  })
  try {
    return await dialOver(stack.services.transportManager, address, nonce, signal)
  } finally {
    void Promise.resolve(stack.stop()).catch(() => undefined)
  }
}

async function dialOver(transports: TransportManager, address: Multiaddr, nonce: bigint, signal: AbortSignal): Promise<DialledBack> {
  using dialling = new Deadline(DIAL_TIMEOUT_MS, signal)
  using proving = new Deadline(DIAL_TIMEOUT_MS + PROOF_TIMEOUT_MS, signal)
  try {
    const connection = await transports.dial(address, permitted({ signal: dialling.signal }, ONE_DIAL))
    dialling.clear()
    try {
      const stream = await connection.newStream(DIAL_BACK_PROTOCOL_ID, { signal: proving.signal })
      const messages = autonatStream(stream)
      await messages.write(DialBackSchema, { nonce }, proving.signal)
      await messages.read(DialBackResponseSchema, proving.signal)
      await stream.close({ signal: proving.signal })
      await connection.close({ signal: proving.signal })
      return 'reached'
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error('no proof was taken'))
      return 'no proof taken'
    }
  } catch (error) {
    signal.throwIfAborted()
    return isOurs(error) ? 'refused' : 'failed'
  }
}

/** True for a local failure: this node must not dial the address or has no route to it. */
function isOurs(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {}
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return !(error instanceof DialFailure) || OWN_KINDS.has(error.kind) || NO_WAY.has(code)
}
