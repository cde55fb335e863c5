import type { MessageStream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tls } from '@libp2p/tls'
import { joinWrites, noiseCrypto, readLengthsQuietly } from '../../src/node/adapters/noise-frames.ts'
import { noiseForAllKeys } from '../../src/node/adapters/noise-handshake.ts'
import { sparing } from '../../src/node/adapters/sparing-yamux.ts'
import { type BareStack, type Encrypter, SUBNET_STACK } from './bare-libp2p.ts'

/** A way to set the stack up, or to use it. */
export interface Variant extends BareStack {
  /** What a stream is given to send at a time. */
  chunkBytes: number
}

const TAG_BYTES = 16
const NOISE_FRAME_BYTES = 65_535
const YAMUX_HEADER_BYTES = 12

export const PLAIN: Variant = { ...SUBNET_STACK, chunkBytes: 64 * 1_024 }

/** Each differs from `PLAIN` in one thing; the first in nothing: what it gives is noise. */
export const VARIANTS: Record<string, Variant> = {
  'the same once more': PLAIN,
  'keys kept as KeyObject': { ...PLAIN, encrypter: noise({ crypto: noiseCrypto }) },
  'one write a frame': { ...PLAIN, encrypter: around(noise(), { below: joinWrites }) },
  'no exception for each chunk': { ...PLAIN, encrypter: around(noise(), { above: readLengthsQuietly }) },
  'all three, as in the subnet': { ...PLAIN, encrypter: noiseForAllKeys() },
  'TLS, where the subnet has Noise': { ...PLAIN, encrypter: tls() as unknown as Encrypter },
  'chunks fill a noise frame': { ...PLAIN, chunkBytes: NOISE_FRAME_BYTES - TAG_BYTES - YAMUX_HEADER_BYTES },
  'fewer window updates': { ...PLAIN, muxer: sparing(PLAIN.muxer) },
}

/** @param change what is done to the connection below the encryption, and to the one above */
function around(
  encrypter: Encrypter,
  change: { below?: (raw: MessageStream) => void; above?: (secured: MessageStream) => void },
): Encrypter {
  return (components) => {
    const inner = encrypter(components)
    const secure =
      (way: 'secureInbound' | 'secureOutbound'): typeof inner.secureInbound =>
      async (connection, options) => {
        change.below?.(connection)
        const secured = await inner[way](connection, options)
        change.above?.(secured.connection)
        return secured
      }
    return { protocol: inner.protocol, secureInbound: secure('secureInbound'), secureOutbound: secure('secureOutbound') }
  }
}
