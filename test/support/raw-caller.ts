import { yamux } from '@chainsafe/libp2p-yamux'
import type { YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, Stream, StreamMuxer } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import * as varint from 'uint8-varint'
import { closed } from './two-hosts.ts'

/** The flags of yamux: https://github.com/hashicorp/yamux/blob/master/spec.md */
const SYN = 1
const FIN = 4

/** How the bytes of a stream leave. */
export type Shape = 'one write' | 'byte by byte' | 'by lines' | 'the end in the data frame'
/** What the caller does with its write side once all is sent. */
export type Ending = 'half-close' | 'open'

/** One message of multistream-select: a length, a line. */
export function line(text: string): Buffer {
  const bytes = Buffer.from(`${text}\n`)
  return Buffer.concat([varint.encode(bytes.byteLength), bytes])
}

/** What a caller says before its request: it does not wait for the answer to that, as go-libp2p does not. */
export function header(id: string): Buffer {
  return Buffer.concat([line('/multistream/1.0.0'), line(id)])
}

type Muxer = Omit<StreamMuxer, 'createStream'> & { createStream(): Promise<YamuxStream> }

/** A peer of another stack, with streams in hand: it says when what is written, and knows nothing of the code under test. */
export class RawCaller {
  readonly libp2p: Libp2p
  readonly #muxers: Muxer[]

  constructor(libp2p: Libp2p, muxers: Muxer[]) {
    this.libp2p = libp2p
    this.#muxers = muxers
  }

  static async start(): Promise<RawCaller> {
    const muxers: Muxer[] = []
    const libp2p = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [
        () => {
          const factory = yamux()()
          return {
            protocol: factory.protocol,
            createStreamMuxer: (connection) => {
              const muxer = factory.createStreamMuxer(connection)
              muxers.push(muxer as unknown as Muxer)
              return muxer
            },
          }
        },
      ],
    })
    return new RawCaller(libp2p, muxers)
  }

  async stop(): Promise<void> {
    await this.libp2p.stop()
  }

  /** Everything that is to be said on a stream, in this shape; gives all that comes back until the other side closes. @throws its reset */
  async say(to: Multiaddr[], said: Uint8Array[], shape: Shape, ending: Ending, onSaid: () => void = () => undefined): Promise<Buffer> {
    await this.libp2p.dial(to)
    const muxer = this.#muxers.at(-1) as Muxer
    const stream = await muxer.createStream()
    const heard = hear(stream)
    if (shape === 'the end in the data frame') {
      Object.assign(stream, { getSendFlags: () => SYN | FIN })
      stream.send(Buffer.concat(said))
      Object.assign(stream, { getSendFlags: () => 0, writeStatus: 'closed' })
      onSaid()
      return heard
    }
    for (const piece of piecesOf(said, shape)) {
      stream.send(piece)
    }
    if (ending === 'half-close') {
      await stream.close()
      onSaid()
      return heard
    }
    onSaid()
    const answer = await heard
    await stream.close()
    return answer
  }
}

function piecesOf(said: Uint8Array[], shape: Shape): Uint8Array[] {
  if (shape === 'byte by byte') {
    return [...Buffer.concat(said)].map((byte) => Uint8Array.of(byte))
  }
  return shape === 'one write' ? [Buffer.concat(said)] : said
}

async function hear(stream: YamuxStream): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  stream.addEventListener('message', ({ data }) => pieces.push(data.subarray().slice()))
  stream.addEventListener('remoteCloseWrite', () => queueMicrotask(resolve))
  void closed(stream as unknown as Stream).then((error) => (error == null ? resolve() : reject(error)))
  await promise
  return Buffer.concat(pieces)
}
