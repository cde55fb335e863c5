import {
  type Identify,
  type IdentifyComponents,
  type IdentifyPush,
  type IdentifyPushComponents,
  identify,
  identifyPush,
} from '@libp2p/identify'
import type { Connection, IdentifyResult, PeerId, Stream, StreamHandler } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { openPeerRecord, type SignedRecord } from '../../gossip/peer-record.ts'
import { readNamed } from '../../primitives/address.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { bytesFields } from '../../primitives/wire-fields.ts'
import { EcdsaKey } from '../home/ecdsa-key.ts'
import { withMethods } from './guarded-components.ts'
import { filterIdentify } from './identify-messages.ts'
import type { LiveRecords } from './live-records.ts'

const PROTOCOL = '/ipfs/id/1.0.0'
/** In milliseconds: two round trips on a lossy path. */
const TIMEOUT_MS = 15_000
const MAX_MESSAGE_BYTES = 8 * 1024
/** Rate limit per peer. The most recent pushers are remembered. */
const PUSHES = { burst: 10, refillMs: 1_000 }
const MAX_PUSHING_PEERS = 1_000
/** Maximum parts of one identify message. */
const MAX_MESSAGES = 10
const SIGNED_RECORD = 8

/**
 * Identify with support for ECDSA keys, which `@libp2p/identify` cannot read. The addresses of such a peer count as unsigned, because its
 * signed record cannot be read either.
 */
export function identifyForAllKeys(records?: Pick<LiveRecords, 'note'>): (components: IdentifyComponents) => Identify {
  const make = identify({ runOnConnectionOpen: false, timeout: TIMEOUT_MS })
  return (components) => {
    const service = make(components)
    components.events.addEventListener('connection:open', ({ detail: connection }) => {
      const identified = isEcdsaPeer(connection.remotePeer) ? ask(components, connection) : service.identify(filtered(connection, records))
      // the service and the stream's log report the reason; the connection is usable without identify
      identified.catch(() => undefined)
    })
    return service
  }
}

/** Identify push with support for ECDSA keys. Limits each peer to a burst of 10 pushes, then one per second. */
export function identifyPushForAllKeys(
  init: Parameters<typeof identifyPush>[0],
  records?: Pick<LiveRecords, 'note'>,
): (components: IdentifyPushComponents) => IdentifyPush {
  const make = identifyPush(init)
  return (components) => {
    const pushes = new TokenBuckets({ maxKeys: MAX_PUSHING_PEERS })
    const onPush =
      (handler: StreamHandler): StreamHandler =>
      async (stream, connection) => {
        if (!pushes.take(connection.remotePeer.toString(), PUSHES)) {
          stream.abort(new Error('the peer pushes too often'))
          return
        }
        await (isEcdsaPeer(connection.remotePeer)
          ? read(components, connection, stream)
          : handler(noting(stream, connection, records), connection))
      }
    const registrar = withMethods(components.registrar, {
      handle: (handle) => async (protocol, handler, options) => handle(protocol, onPush(handler as StreamHandler), options),
    })
    return make(new Proxy(components, { get: (own, name) => (name === 'registrar' ? registrar : Reflect.get(own, name)) }))
  }
}

/** Filters the identify streams of a connection. Patches the connection in place, because identify's result refers to it. */
function filtered(connection: Connection, records: Pick<LiveRecords, 'note'> | undefined): Connection {
  const own = connection.newStream.bind(connection)
  connection.newStream = async (protocols, options) => {
    const stream = await own(protocols, options)
    return protocols === PROTOCOL ? noting(stream, connection, records) : stream
  }
  return connection
}

function noting(stream: Stream, connection: Connection, records: Pick<LiveRecords, 'note'> | undefined): Stream {
  return filterIdentify(stream, (envelope) => void records?.note(connection, envelope))
}

/** The peer ID of a connection holds its key, except for ECDSA. */
function isEcdsaPeer(peerId: PeerId): boolean {
  return peerId.publicKey == null
}

/**
 * Requests the signed record of the remote peer without storing anything. Undefined if the peer has none.
 * @throws Error if the peer does not answer or sends the record of another peer
 */
export async function askForRecord(connection: Connection): Promise<SignedRecord | undefined> {
  const stream = await openStream(connection)
  try {
    const fields = [...bytesFields(await readMessages(stream))]
    await stream.close()
    const envelope = fields.find(([field]) => field === SIGNED_RECORD)?.[1]
    const record = envelope == null ? undefined : await openPeerRecord(envelope)
    if (record?.peerId.equals(connection.remotePeer) === false) {
      throw new Error(`the signed record belongs to another peer than ${connection.remotePeer.toString()}`)
    }
    return record
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

async function openStream(connection: Connection): Promise<Stream> {
  using deadline = new Deadline(TIMEOUT_MS)
  return await connection.newStream(PROTOCOL, { signal: deadline.signal, runOnLimitedConnection: true })
}

async function ask(components: IdentifyComponents, connection: Connection): Promise<void> {
  const stream = await openStream(connection)
  await read(components, connection, stream)
}

async function read({ peerStore, events }: IdentifyComponents, connection: Connection, stream: Stream): Promise<void> {
  try {
    const result = parse(await readMessages(stream), connection)
    await stream.close()
    const { remotePeer } = connection
    await peerStore.patch(remotePeer, {
      ...(result.protocols.length === 0 ? {} : { protocols: result.protocols }),
      ...(result.listenAddrs.length === 0
        ? {}
        : { addresses: result.listenAddrs.map((address) => ({ multiaddr: address, isCertified: false })) }),
    })
    const metadata: Record<string, Uint8Array> = {}
    if (result.agentVersion != null) {
      metadata['AgentVersion'] = Buffer.from(result.agentVersion)
    }
    if (result.protocolVersion != null) {
      metadata['ProtocolVersion'] = Buffer.from(result.protocolVersion)
    }
    await peerStore.merge(remotePeer, { metadata })
    events.safeDispatchEvent('peer:identify', { detail: result })
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

/** Concatenates all parts, which merges protobuf messages. */
async function readMessages(stream: Stream): Promise<Uint8Array> {
  const messages = lpStream(stream, { maxDataLength: MAX_MESSAGE_BYTES, maxBufferSize: MAX_MESSAGE_BYTES * 2 })
  using deadline = new Deadline(TIMEOUT_MS)
  const { signal } = deadline
  const parts: Uint8Array[] = [(await messages.read({ signal })).subarray()]
  while (parts.length < MAX_MESSAGES) {
    try {
      parts.push((await messages.read({ signal })).subarray())
    } catch {
      break
    }
  }
  return Buffer.concat(parts)
}

/** @throws Error if the bytes are malformed or the key belongs to another peer */
function parse(message: Uint8Array, connection: Connection): IdentifyResult {
  const result: IdentifyResult = { peerId: connection.remotePeer, listenAddrs: [], protocols: [], connection }
  for (const [field, value] of bytesFields(message)) {
    switch (field) {
      case 1:
        result.publicKey = checkKey(value, connection.remotePeer)
        break
      case 2:
        result.listenAddrs = [...result.listenAddrs, readNamed(value)].filter((address) => address != null)
        break
      case 3:
        result.protocols.push(Buffer.from(value).toString())
        break
      case 5:
        result.protocolVersion = Buffer.from(value).toString()
        break
      case 6:
        result.agentVersion = Buffer.from(value).toString()
        break
    }
  }
  return result
}

function checkKey(key: Uint8Array, peerId: PeerId): Uint8Array {
  if (EcdsaKey.read(key)?.peerId.equals(peerId) !== true) {
    throw new Error(`the public key does not belong to ${peerId.toString()}`)
  }
  return key
}
