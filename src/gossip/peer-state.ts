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

/** On which the nodes of Hypertensor's template tell their state, and what their graph of states has. */
export const PEER_STATE_TOPIC = 'peer_state'

/** What the service needs of gossipsub. */
export interface PeerStateTopic {
  topicValidators: Map<string, TopicValidatorFn>
  subscribe(topic: string): void
  unsubscribe(topic: string): void
}

export interface PeerStateInit {
  pubsub: PeerStateTopic
  book: AddressBook
  /** Told of messages that no node of the template publishes. */
  blame: Blame
  self: PeerId
  /** How a peer names addresses that it passes on. @default as a stranger */
  namedOver?: (sender: PeerId) => NamedOver
  /** Whether a peer is connected to this node: then it is no invention of who passes its word on. @default no peer is */
  isConnected?: (peerId: PeerId) => boolean
  /** Whether this author's word counts; without it everybody's does. */
  admits?: (author: PeerId) => Promise<boolean>
  log: Logger
  onHeartbeat?: (event: HeartbeatEvent) => void
  now?: () => number
}

type State = Extract<PeerStateMessage, { kind: 'state' }>

/** The template tells its state every 20 s. */
const INTERVAL_MS = 20_000
/** The template takes no state that is from further in the future, and any from the past. */
const MAX_FUTURE_MS = 60_000
/**
 * Older messages go no further: clocks may differ by so much, and a replay keeps no peer in the book for longer. The template fetches what is older
 * with its DAG sync.
 */
const MAX_AGE_MS = 600_000
/** Of one author and kind. A node that starts, stops or walks its graph sends more than one message at a time. */
const NEWS = { burst: 4, refillMs: 5_000 }
/** Late messages and replays of one author. Their rate is separate, so that replays do not use up the rate of news. */
const OLD_NEWS = { burst: 4, refillMs: 20_000 }
/** Authors that neither the book nor a connection knows, from one other peer that passes them on: at most 64 within any minute. */
const NEW_AUTHORS = { burst: 32, refillMs: 60_000 / 32 }
/**
 * Of one author from one peer that passes them on, news or not, right or wrong: taken before a message is read, which may take 10 ms. By both, so
 * that whoever replays messages of an author does not use up what others pass on of it.
 */
const READ = { burst: 32, refillMs: 1_000 }
/** Bytes from one peer that passes messages on: 2 MiB, then 128 KiB/s. A network of 500 nodes tells 37 kB/s, and each byte may go on to 32 peers. */
const BYTES = { burst: 2 * 1024 * 1024, refillMs: 1_000 / (128 * 1024) }
const MAX_AUTHORS = 20_000
const MAX_SENDERS = 4_096

/**
 * Hears what nodes of the template tell of themselves, and keeps their addresses in the book, unverified until a connection confirms them. What is
 * valid there, and of the last 10 minutes, goes on to others, within rates, whether it is news here or not: the template's nodes build their graph of it.
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
  /** When the newest message of an author and a kind was made, by the author's clock. */
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

  /** States that were news, since the service was made. */
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

  /** Checks a message, and enters what it says into the book. @param sender who passed it on */
  async receive(message: Message, sender: PeerId): Promise<Verdict> {
    if (message.type !== 'signed' || message.from.equals(this.#init.self)) {
      return ignore('not signed, or our own')
    }
    const author = message.from
    if (!this.#mayPassOn(author, sender, message.data)) {
      return ignore('too many messages or bytes from who passes it on')
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

  /** When the state was made that the book has. */
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

  /** Who costs its sender nothing of its quota: a peer that the book knows, or that is there itself. */
  #isNoStranger(author: PeerId, sender: PeerId): boolean {
    return author.equals(sender) || this.#init.isConnected?.(author) === true || this.#init.book.get(author) != null
  }
}

function keyOf(author: PeerId, { kind }: PeerStateMessage): string {
  return `${kind} ${author.toString()}`
}
