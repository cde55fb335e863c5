import { BinaryReader } from '@bufbuild/protobuf/wire'
import { type Libp2p, NotFoundError, type PeerId } from '@libp2p/interface'
import { peerIdFromCID } from '@libp2p/peer-id'
import { BaseDatastore } from 'datastore-core/base'
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'
import { CID } from 'multiformats/cid'
import { bytesFields } from '../../primitives/wire-fields.ts'

/** Limits of one key space. The size of an entry is its key plus its value. */
export interface SpaceBounds {
  entries: number
  bytes: number
  /** A larger entry is refused, and the previous value of its key stays. */
  entryBytes: number
}

const KIB = 1024
/** A key belongs to the first space whose prefix matches. */
const SPACES: ReadonlyArray<[prefix: string, bounds: SpaceBounds]> = [
  // peers: addresses, protocols, tags, a signed record
  ['/peers/', { entries: 1_000, bytes: 4_096 * KIB, entryBytes: 32 * KIB }],
  // values and provider records that other peers store in the DHT
  ['/dht/record/', { entries: 2_000, bytes: 1_024 * KIB, entryBytes: 16 * KIB }],
  ['/dht/provider/', { entries: 2_000, bytes: 1_024 * KIB, entryBytes: KIB }],
  ['/', { entries: 1_000, bytes: 1_024 * KIB, entryBytes: 64 * KIB }],
]
const PEERS = '/peers/'
/** Fields of a stored peer: its addresses, its tags; and the field of a tag that holds its name. */
const ADDRESSES_FIELD = 1
const TAGS_FIELD = 7
const TAG_NAME_FIELD = 1
/** `keep-alive`: libp2p reconnects to this peer. `kad-`: the peer is in the DHT's routing table, and the DHT needs its addresses. */
const LASTING_TAG = /^(keep-alive|kad-)/
/** Maximum number of old entries to consider for one eviction. */
const MAX_LOOKS = 32
const MAX_NAME_SHOWN = 100

/**
 * libp2p's datastore, in memory. Strangers fill it, so each key space is bounded and evicts its oldest entry. The entry of a connected
 * peer is never evicted. The entry of a peer with a lasting tag is evicted only if all other candidates are spared. A key space may
 * exceed its bound a little while most of its peers are connected. Values are copied: libp2p stores short slices of large buffers, and
 * a slice pins its whole buffer.
 */
export class BoundedDatastore extends BaseDatastore {
  readonly #spaces: ReadonlyArray<[prefix: string, space: KeySpace]>
  /** True for the node itself and for connected peers. */
  #isSpared: (peerId: PeerId) => boolean = () => false
  /** The key of the node itself. Its entry has no size limit, because it holds every protocol of the node. */
  #own: string | undefined

  constructor(spaces = SPACES) {
    super()
    this.#spaces = spaces.map(([prefix, bounds]) => [prefix, new KeySpace(bounds)])
  }

  /**
   * Spares the connected peers of this node. An entry becomes the newest when its peer disconnects: libp2p's registrar then reads the
   * peer's protocols to notify gossipsub and the DHT. Without the entry, both would keep the peer forever.
   */
  follow(libp2p: Pick<Libp2p, 'peerId' | 'getConnections' | 'addEventListener'>): void {
    this.#isSpared = (peerId) => peerId.equals(libp2p.peerId) || libp2p.getConnections(peerId).length > 0
    this.#own = nameOf(libp2p.peerId)
    libp2p.addEventListener('peer:disconnect', ({ detail }) => {
      const name = nameOf(detail)
      this.#spaceOf(name).renew(name)
    })
  }

  /**
   * Stores a copy. An oversized peer entry is stored without addresses: any peer may have added them, and identify restores the peer's own.
   * @throws RangeError for an oversized entry
   */
  override put(key: Key, value: Uint8Array): Key {
    const name = key.toString()
    const space = this.#spaceOf(name)
    const stored = space.fits(name, value) || name === this.#own || !name.startsWith(PEERS) ? value : withoutAddresses(value)
    if (!space.fits(name, stored) && name !== this.#own) {
      throw new RangeError(`too large to be stored: ${name.slice(0, MAX_NAME_SHOWN)}`)
    }
    space.put(name, stored)
    this.#makeRoom(space)
    return key
  }

  /** @throws NotFoundError */
  override get(key: Key): Uint8Array {
    const name = key.toString()
    const value = this.#spaceOf(name).get(name)
    if (value == null) {
      throw new NotFoundError()
    }
    return value
  }

  override has(key: Key): boolean {
    const name = key.toString()
    return this.#spaceOf(name).get(name) != null
  }

  override delete(key: Key): void {
    const name = key.toString()
    this.#spaceOf(name).delete(name)
  }

  override *_all({ prefix }: Query): Generator<Pair> {
    for (const [name, value] of this.#entries(prefix)) {
      yield { key: new Key(name), value }
    }
  }

  override *_allKeys({ prefix }: KeyQuery): Generator<Key> {
    for (const [name] of this.#entries(prefix)) {
      yield new Key(name)
    }
  }

  /** A snapshot: the caller may put entries while it iterates. */
  #entries(prefix = ''): Array<[name: string, value: Uint8Array]> {
    return this.#spaces
      .filter(([own]) => own.startsWith(prefix) || prefix.startsWith(own))
      .flatMap(([, space]) => [...space])
      .filter(([name]) => name.startsWith(prefix))
  }

  #spaceOf(name: string): KeySpace {
    const found = this.#spaces.find(([prefix]) => name.startsWith(prefix))
    if (found == null) {
      throw new RangeError(`no key space has the key ${name}`)
    }
    return found[1]
  }

  #makeRoom(space: KeySpace): void {
    while (space.isOver) {
      const name = this.#victim(space)
      if (name == null) {
        return
      }
      space.delete(name)
    }
  }

  /** Returns the entry to evict, if any. Spared candidates become the newest, so the next search considers others. */
  #victim(space: KeySpace): string | undefined {
    let tagged: string | undefined
    for (const [name, value] of space.oldest(MAX_LOOKS)) {
      if (!this.#isOfSparedPeer(name)) {
        if (!hasLastingTag(name, value)) {
          return name
        }
        tagged ??= name
      }
      space.renew(name)
    }
    return tagged
  }

  #isOfSparedPeer(name: string): boolean {
    return name.startsWith(PEERS) && this.#isSpared(peerIdFromCID(CID.parse(name.slice(PEERS.length))))
  }
}

function nameOf(peerId: PeerId): string {
  return `${PEERS}${peerId.toCID().toString()}`
}

function withoutAddresses(peer: Uint8Array): Uint8Array {
  const fields: Uint8Array[] = []
  const reader = new BinaryReader(peer)
  while (reader.pos < reader.len) {
    const from = reader.pos
    const [field, wireType] = reader.tag()
    reader.skip(wireType)
    if (field !== ADDRESSES_FIELD) {
      fields.push(peer.subarray(from, reader.pos))
    }
  }
  return Buffer.concat(fields)
}

function hasLastingTag(name: string, peer: Uint8Array): boolean {
  if (!name.startsWith(PEERS)) {
    return false
  }
  return bytesFields(peer)
    .filter(([field]) => field === TAGS_FIELD)
    .flatMap(([, tag]) => bytesFields(tag))
    .some(([field, value]) => field === TAG_NAME_FIELD && LASTING_TAG.test(Buffer.from(value).toString()))
}

/** Entries in the order of their last put, the oldest first. */
class KeySpace {
  readonly #bounds: SpaceBounds
  readonly #values = new Map<string, Uint8Array>()
  #bytes = 0

  constructor(bounds: SpaceBounds) {
    this.#bounds = bounds
  }

  get isOver(): boolean {
    return this.#values.size > this.#bounds.entries || this.#bytes > this.#bounds.bytes
  }

  get(name: string): Uint8Array | undefined {
    return this.#values.get(name)
  }

  fits(name: string, value: Uint8Array): boolean {
    return sizeOf(name, value) <= this.#bounds.entryBytes
  }

  put(name: string, value: Uint8Array): void {
    this.delete(name)
    this.#values.set(name, Uint8Array.from(value))
    this.#bytes += sizeOf(name, value)
  }

  delete(name: string): void {
    const value = this.#values.get(name)
    if (value != null) {
      this.#values.delete(name)
      this.#bytes -= sizeOf(name, value)
    }
  }

  renew(name: string): void {
    const value = this.#values.get(name)
    if (value != null) {
      this.#values.delete(name)
      this.#values.set(name, value)
    }
  }

  oldest(count: number): Array<[name: string, value: Uint8Array]> {
    const found: Array<[string, Uint8Array]> = []
    for (const entry of this.#values) {
      if (found.length === count) {
        break
      }
      found.push(entry)
    }
    return found
  }

  [Symbol.iterator](): Iterator<[name: string, value: Uint8Array]> {
    return this.#values.entries()
  }
}

function sizeOf(name: string, value: Uint8Array): number {
  return name.length + value.byteLength
}
