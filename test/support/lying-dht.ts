import { Socket } from 'node:net'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { newPeer } from './keys.ts'
import type { OtherStacks } from './other-stacks.ts'

/** A peer in a DHT's answer: a multihash, and addresses as they stand in its messages. */
export interface NamedPeer {
  id: Uint8Array
  addresses: string[]
}

/** Fields of libp2p's kad-dht spec. */
const TYPE = 1
const KEY = 2
const CLOSER = 8
const PING = 5

/**
 * A peer that keeps to the wire of libp2p's DHT and answers every query with what `name` gives. It tells where it listens with identify, and is pinged
 * like any other peer.
 */
export async function lyingPeer(
  stacks: OtherStacks,
  protocol: string,
  name: (key: Uint8Array, asker: Connection) => Iterable<NamedPeer>,
  listen = '/ip4/127.0.0.1/tcp/0',
): Promise<{ address: string; id: Uint8Array; asked(): number }> {
  const stack = await stacks.start({ addresses: { listen: [listen] }, services: { identify: identify(), ping: ping() } })
  let asked = 0
  await stack.handle(protocol, async (stream, connection) => {
    asked++
    await answer(stream, (key) => name(key, connection)).catch((error) => stream.abort(error))
  })
  return { address: stacks.addressOf(stack).toString(), id: stack.peerId.toMultihash().bytes, asked: () => asked }
}

async function answer(stream: Stream, name: (key: Uint8Array) => Iterable<NamedPeer>): Promise<void> {
  const messages = lpStream(stream, { maxDataLength: 1 << 20 })
  while (true) {
    const { type, key } = readQuery((await messages.read()).subarray())
    const response = new BinaryWriter().tag(TYPE, WireType.Varint).int32(type)
    if (type !== PING) {
      for (const { id, addresses } of name(key)) {
        const peer = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(id)
        for (const address of addresses) {
          peer.tag(2, WireType.LengthDelimited).bytes(multiaddr(address).bytes)
        }
        response.tag(CLOSER, WireType.LengthDelimited).bytes(peer.finish())
      }
    }
    await messages.write(response.finish())
  }
}

function readQuery(message: Uint8Array): { type: number; key: Uint8Array } {
  const reader = new BinaryReader(message)
  const query = { type: 0, key: new Uint8Array(0) as Uint8Array }
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === TYPE) {
      query.type = reader.int32()
    } else if (field === KEY) {
      query.key = reader.bytes()
    } else {
      reader.skip(wireType)
    }
  }
  return query
}

/** A fresh peer that is nowhere, at these addresses. */
export async function nobodyAt(addresses: string[]): Promise<NamedPeer> {
  return { id: (await newPeer()).peerId.toMultihash().bytes, addresses }
}

/** Notes where the sockets lead that this process opens to others, until `stop`. */
export class SocketLog {
  readonly paths: string[] = []
  readonly ports: number[] = []
  /** The IP addresses that they try, each. */
  readonly tried: string[] = []
  readonly #connect = Socket.prototype.connect

  constructor() {
    const { paths, ports, tried } = this
    const connect = this.#connect as (...args: unknown[]) => Socket
    Socket.prototype.connect = function connectAndNote(this: Socket, ...args: unknown[]): Socket {
      // of `net.connect`, which has put all its arguments into one list
      const [options] = args.flat() as [{ path?: string; port?: number }]
      if (options.path == null) {
        ports.push(Number(options.port))
      } else {
        paths.push(options.path)
      }
      this.on('connectionAttempt', (ip) => tried.push(ip))
      return connect.apply(this, args)
    }
  }

  stop(): void {
    Socket.prototype.connect = this.#connect
  }
}
