import type { Message, TopicValidatorFn } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../observe/logger.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { TokenBuckets } from '../primitives/token-bucket.ts'
import type { AddressBook } from './address-book.ts'
import type { Blame } from './blame.ts'
import { Heard, type HeartbeatEvent } from './heard.ts'
import { type PeerStateMessage, readPeerState } from './peer-state-message.ts'
import { ignore, type Verdict, validatorOf } from './verdict.ts'

/** The topic on which nodes of Hypertensor's template publish their state, the content of their state graph. */
export const PEER_STATE_TOPIC = 'peer_state'

/** The part of gossipsub that the service uses. */
export interface PeerStateTopic {
  topicValidators: Map<string, TopicValidatorFn>
  subscribe(topic: string): void
  unsubscribe(topic: string): void
}

export interface PeerStateInit {
  pubsub: PeerStateTopic
  book: AddressBook
  /** Called for messages that no node of the template publishes. */
  blame: Blame
  self: PeerId
  /** How the addresses in a forwarded message reached this node. @default as from a stranger */
  namedOver?: (sender: PeerId) => NamedOver
  /** Whether a peer is connected to this node. A connected author cannot be an invention of the forwarding peer. @default no peer is */
  isConnected?: (peerId: PeerId) => boolean
  /** Whether messages of this author are accepted. @default all are */
  admits?: (author: PeerId) => Promise<boolean>
  log: Logger
  onHeartbeat?: (event: HeartbeatEvent) => void
  now?: () => number
}

type State = Extract<PeerStateMessage, { kind: 'state' }>

/** The template publishes its state every 20 s. */
const INTERVAL_MS = 20_000
/** The template refuses states from further in the future, but accepts any age. */
const MAX_FUTURE_MS = 60_000
/**
 * Older messages are not forwarded. Clocks may differ by this much, and a replay keeps a peer in the book for no longer. The template
 * fetches older states with its DAG sync.
 */
const MAX_AGE_MS = 600_000
/** Per author and kind. A node that starts, stops or walks its graph sends several messages at once. */
const NEWS = { burst: 4, refillMs: 5_000 }
/** Late messages and replays, per author. Their rate is separate, so that replays do not use up the rate of news. */
const OLD_NEWS = { burst: 4, refillMs: 20_000 }
/** Unknown authors, in neither the book nor a connection, per forwarding peer: at most 64 within any minute. */
const NEW_AUTHORS = { burst: 32, refillMs: 60_000 / 32 }
/**
 * Per author and forwarding peer, valid or not. Taken before a message is parsed, which may take 10 ms. With a limit per pair, a peer that
 * replays messages of an author does not use up the rate of other peers that forward this author.
 */
const READ = { burst: 32, refillMs: 1_000 }
/** Bytes per forwarding peer: 2 MiB, then 128 KiB/s. A network of 500 nodes sends 37 kB/s, and each byte may be forwarded to 32 peers. */
const BYTES = { burst: 2 * 1024 * 1024, refillMs: 1_000 / (128 * 1024) }
const MAX_AUTHORS = 20_000
const MAX_SENDERS = 4_096

/**
 * Receives the states of template nodes and keeps their addresses in the book, unverified until a connection confirms them. Messages that
 * the template considers valid and that are at most 10 minutes old are forwarded within rate limits, news here or not: template nodes build
 * their state graph from them.
 */
export class PeerStateService {
  readonly #init: PeerStateInit
  readonly #now: () => number
  readonly #heard: Heard
  readonly #read: TokenBuckets
  readonly #bytes: TokenBuckets
  readonly #news: TokenBuckets
  readonly #oldNews: TokenBuckets
  readonly #newAuthors: TokenBuckets
  /** Time of the newest message per author and kind, by the author's clock. */
  readonly #newest = new LRUCache<string, number>({ max: 2 * MAX_AUTHORS })
  #running = false

  constructor(init: PeerStateInit) {
    const now = init.now ?? Date.now
    this.#init = init
    this.#now = now
    this.#heard = new Heard({ ...init, now })
    this.#read = new TokenBuckets({ maxKeys: 2 * MAX_AUTHORS, now })
    this.#bytes = new TokenBuckets({ maxKeys: MAX_SENDERS, now })
    this.#news = new TokenBuckets({ maxKeys: 2 * MAX_AUTHORS, now })
    this.#oldNews = new TokenBuckets({ maxKeys: MAX_AUTHORS, now })
    this.#newAuthors = new TokenBuckets({ maxKeys: MAX_SENDERS, now })
  }

  /** States that were news, since the service was created. */
  get counts(): Heard['counts'] {
    return this.#heard.counts
  }

  start(): void {
    if (!this.#running) {
      this.#running = true
      const { pubsub } = this.#init
      const validator = validatorOf('peer state', this.#init, async (message, sender) => this.receive(message, sender))
      pubsub.topicValidators.set(PEER_STATE_TOPIC, validator)
      pubsub.subscribe(PEER_STATE_TOPIC)
    }
  }

  stop(): void {
    if (this.#running) {
      this.#running = false
      this.#init.pubsub.unsubscribe(PEER_STATE_TOPIC)
      this.#init.pubsub.topicValidators.delete(PEER_STATE_TOPIC)
    }
  }

  /** Validates a message and enters its content into the book. @param sender the peer that forwarded it */
  async receive(message: Message, sender: PeerId): Promise<Verdict> {
    if (message.type !== 'signed' || message.from.equals(this.#init.self)) {
      return ignore('not signed, or our own')
    }
    const author = message.from
    if (!this.#mayPassOn(author, sender, message.data)) {
      return ignore('too many messages or bytes from the forwarding peer')
    }
    const read = readPeerState(message.data, author)
    if ('result' in read) {
      return read
    }
    if (read.createdAtMs > this.#now() + MAX_FUTURE_MS) {
      return ignore('from the future')
    }
    if (read.createdAtMs < this.#now() - MAX_AGE_MS) {
      return ignore('over 10 minutes old')
    }
    const isNews = this.#isNews(author, read)
    if (!this.#mayTell(author, read, isNews)) {
      return ignore('too many messages of this peer')
    }
    const fault = read.kind === 'state' ? await read.check() : undefined
    if (fault != null) {
      return fault
    }
    if ((await this.#init.admits?.(author)) === false) {
      return ignore('its author is not let into this subnet')
    }
    if (isNews) {
      this.#newest.set(keyOf(author, read), read.createdAtMs)
    }
    if (isNews && read.kind === 'state' && read.multiaddrs.length > 0) {
      await this.#enter(author, read, sender)
    }
    return { result: 'accept' }
  }

  #isNews(author: PeerId, message: PeerStateMessage): boolean {
    const newest = this.#newest.get(keyOf(author, message)) ?? (message.kind === 'state' ? this.#inBook(author) : undefined)
    return newest == null || message.createdAtMs > newest
  }

  /** Time of the author's state in the book. */
  #inBook(author: PeerId): number | undefined {
    const known = this.#init.book.get(author)
    return known?.verified == null ? undefined : Number(known.seq)
  }

  #mayPassOn(author: PeerId, sender: PeerId, { byteLength }: Uint8Array): boolean {
    const from = sender.toString()
    return this.#read.take(`${author.toString()} ${from}`, READ) && this.#bytes.take(from, BYTES, byteLength)
  }

  #mayTell(author: PeerId, message: PeerStateMessage, isNews: boolean): boolean {
    return isNews ? this.#news.take(keyOf(author, message), NEWS) : this.#oldNews.take(author.toString(), OLD_NEWS)
  }

  async #enter(peerId: PeerId, { createdAtMs, multiaddrs, state }: State, sender: PeerId): Promise<void> {
    if (!this.#isNoStranger(peerId, sender) && !this.#newAuthors.take(sender.toString(), NEW_AUTHORS)) {
      return
    }
    const namedOver = this.#init.namedOver?.(sender)
    const told = { peerId, multiaddrs, namedOver, envelope: undefined, seq: BigInt(createdAtMs), state, intervalMs: INTERVAL_MS }
    await this.#heard.enter({ ...told, verified: false })
  }

  /** Whether the author is exempt from the sender's quota of unknown authors: the author is in the book, is connected, or is the sender. */
  #isNoStranger(author: PeerId, sender: PeerId): boolean {
    return author.equals(sender) || this.#init.isConnected?.(author) === true || this.#init.book.get(author) != null
  }
}

function keyOf(author: PeerId, { kind }: PeerStateMessage): string {
  return `${kind} ${author.toString()}`
}
