import type { Message, TopicValidatorFn } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import type { NamedOver } from '../primitives/address-kind.ts'
import type { Logger } from '../primitives/log.ts'
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
/** Older states change nothing here: clocks may differ by so much, and a replay keeps no peer in the book for longer. */
const MAX_AGE_MS = 600_000
/** Of one author and kind. A node that starts, stops or walks its graph sends more than one message at a time. */
const NEWS = { burst: 4, refillMs: 5_000 }
/** Late messages and replays of one author. Their rate is separate, so that replays do not use up the rate of news. */
const OLD_NEWS = { burst: 4, refillMs: 20_000 }
/** Authors that the book does not know, from one peer that passes them on: at most 64 within any minute. */
const NEW_AUTHORS = { burst: 32, refillMs: 60_000 / 32 }
const MAX_AUTHORS = 20_000
const MAX_SENDERS = 4_096

/**
 * Hears what nodes of the template tell of themselves, and keeps their addresses in the book, unverified until a connection confirms them. What is
 * valid there goes on to others, within a rate, whether it is news here or not: the template's nodes build their graph of it.
 */
export class PeerStateService {
  readonly #init: PeerStateInit
  readonly #now: () => number
  readonly #heard: Heard
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
    const read = readPeerState(message.data, author)
    if ('result' in read) {
      return read
    }
    if (read.createdAtMs > this.#now() + MAX_FUTURE_MS) {
      return ignore('from the future')
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
    const { createdAtMs } = message
    const newest = this.#newest.get(keyOf(author, message)) ?? (message.kind === 'state' ? this.#inBook(author) : undefined)
    return createdAtMs >= this.#now() - MAX_AGE_MS && (newest == null || createdAtMs > newest)
  }

  /** When the state was made that the book has. */
  #inBook(author: PeerId): number | undefined {
    const known = this.#init.book.get(author)
    return known?.verified == null ? undefined : Number(known.seq)
  }

  #mayTell(author: PeerId, message: PeerStateMessage, isNews: boolean): boolean {
    return isNews ? this.#news.take(keyOf(author, message), NEWS) : this.#oldNews.take(author.toString(), OLD_NEWS)
  }

  async #enter(peerId: PeerId, { createdAtMs, multiaddrs, state }: State, sender: PeerId): Promise<void> {
    if (this.#init.book.get(peerId) == null && !this.#newAuthors.take(sender.toString(), NEW_AUTHORS)) {
      return
    }
    const namedOver = this.#init.namedOver?.(sender)
    const told = { peerId, multiaddrs, namedOver, envelope: undefined, seq: BigInt(createdAtMs), state, intervalMs: INTERVAL_MS }
    await this.#heard.enter({ ...told, verified: false })
  }
}

function keyOf(author: PeerId, { kind }: PeerStateMessage): string {
  return `${kind} ${author.toString()}`
}
