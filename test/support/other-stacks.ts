import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { ECDSAPrivateKey, Libp2p, PrivateKey, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p as createStack, type Libp2pOptions } from 'libp2p'
import { base58btc } from 'multiformats/bases/base58'
import { createLibp2p, type Services, type StackInit } from '../../src/node/stack/create-libp2p.ts'
import { newPeer } from './keys.ts'

/** The curves of ECDSA peers, as Node names them. */
export const CURVES = ['P-256', 'P-384', 'P-521'] as const

const ECDSA_KEY_TYPE = 3
const SHA_256_MULTIHASH = Buffer.from([0x12, 0x20])
const IDENTIFY_PROTOCOL = '/ipfs/id/1.0.0'

type Stack = Awaited<ReturnType<typeof createStack>>

/** Nodes of js-libp2p on loopback, gone after the test. */
export class OtherStacks {
  readonly #stacks: Array<{ stop(): unknown }> = []

  /** A node that listens, with other parts than ours where `options` name them. */
  async start(options: Partial<Libp2pOptions> = {}): Promise<Stack> {
    const stack = await createStack({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      ...options,
    })
    this.#stacks.push(stack)
    return stack
  }

  /** The stack of a node of ours that only asks. */
  async ours(init: Partial<StackInit> = {}): Promise<Libp2p<Services>> {
    const { privateKey } = await newPeer()
    const stack = await createLibp2p({
      privateKey,
      listen: [],
      announce: [],
      subnetId: 1,
      kadProtocol: undefined,
      gossipIpColocationWeight: 0,
      agent: 'test',
      ...init,
    })
    this.#stacks.push(stack)
    await stack.start()
    return stack
  }

  /** Where a node listens, as that of this peer. */
  addressOf(stack: Pick<Libp2p, 'peerId' | 'getMultiaddrs'>, peerId = stack.peerId.toString()): Multiaddr {
    const [address] = stack.getMultiaddrs()
    if (address == null) {
      throw new Error('it listens nowhere')
    }
    return address.decapsulate('/p2p').encapsulate(`/p2p/${peerId}`)
  }

  /** Noise that leaves the choice of a stream multiplexer to a negotiation after it. */
  noiseWithoutMuxers(): ReturnType<typeof noise> {
    return (components) => {
      const inner = noise()(components)
      return {
        protocol: inner.protocol,
        secureInbound: async (connection, options) => inner.secureInbound(connection, { ...options, skipStreamMuxerNegotiation: true }),
        secureOutbound: async (connection, options) => inner.secureOutbound(connection, { ...options, skipStreamMuxerNegotiation: true }),
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#stacks.splice(0).map(async (stack) => stack.stop()))
  }
}

/** An ECDSA identity as the peer ID rules of libp2p define it: protobuf type 3 with the key as SubjectPublicKeyInfo. */
export class EcdsaIdentity {
  readonly protobuf: Uint8Array
  readonly peerId: string
  readonly #spki: Uint8Array
  readonly #key: KeyObject

  constructor(namedCurve: string, change: (spki: Uint8Array) => Uint8Array = (spki) => spki) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    this.#key = privateKey
    this.#spki = change(publicKey.export({ format: 'der', type: 'spki' }))
    this.protobuf = new BinaryWriter()
      .tag(1, WireType.Varint)
      .int32(ECDSA_KEY_TYPE)
      .tag(2, WireType.LengthDelimited)
      .bytes(this.#spki)
      .finish()
    this.peerId = base58btc.encode(Buffer.concat([SHA_256_MULTIHASH, createHash('sha256').update(this.protobuf).digest()])).slice(1)
  }

  /** What Noise signs with. `forged` gives the signature of somebody else, `replayed` that of another handshake. */
  privateKey({ forged = false, replayed = false } = {}): PrivateKey {
    const key = forged ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : this.#key
    const stand: Pick<ECDSAPrivateKey, 'type' | 'sign'> & { publicKey: unknown } = {
      type: 'ECDSA',
      publicKey: { type: 'ECDSA', raw: this.#spki },
      // the static key of Noise stands at the end
      sign: async (message) =>
        sign('sha256', replayed ? Buffer.concat([message.subarray(0, -32), Buffer.alloc(32, 1)]) : message.subarray(), key),
    }
    return stand as unknown as PrivateKey
  }

  /** What makes a stack show this identity, in its handshakes and when it is asked to identify itself. */
  options(proof: { forged?: boolean; replayed?: boolean } = {}): Partial<Libp2pOptions> {
    const privateKey = this.privateKey(proof)
    return {
      connectionEncrypters: [
        (components) =>
          noise()(new Proxy(components, { get: (own, name) => (name === 'privateKey' ? privateKey : Reflect.get(own, name)) })),
      ],
    }
  }

  /** Answers identify, as the stack's own service cannot with such a key. */
  async answerIdentify(stack: Stack, agent: string, protocols: string[]): Promise<void> {
    await stack.handle(IDENTIFY_PROTOCOL, async (stream: Stream) => {
      stream.send(this.identifyMessage(stack, agent, protocols))
      await stream.close()
    })
  }

  /** What a peer tells of itself, with its length before it. */
  identifyMessage(stack: Stack, agent: string, protocols: string[]): Uint8Array {
    const message = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(this.protobuf)
    for (const address of stack.getMultiaddrs()) {
      message.tag(2, WireType.LengthDelimited).bytes(address.decapsulate('/p2p').bytes)
    }
    for (const protocol of protocols) {
      message.tag(3, WireType.LengthDelimited).string(protocol)
    }
    message.tag(5, WireType.LengthDelimited).string('ipfs/0.1.0').tag(6, WireType.LengthDelimited).string(agent)
    return new BinaryWriter().bytes(message.finish()).finish()
  }
}
