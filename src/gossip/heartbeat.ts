import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Message, SubscriptionChangeData, TopicValidatorFn } from '@libp2p/gossipsub'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { type Heartbeat, HeartbeatSchema, PeerState as WireState } from '../gen/subnet/gossip/v1/heartbeat_pb.ts'
import type { Logger } from '../observe/logger.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { describeError } from '../primitives/errors.ts'
import { TokenBuckets } from '../primitives/token-bucket.ts'
import type { AddressBook } from './address-book.ts'
import type { Blame } from './blame.ts'
import type { PeerState } from './book-entry.ts'
import { Heard, type HeartbeatEvent } from './heard.ts'
import { affordableIntervalMs, HEARTBEAT_INTERVAL_MS } from './heartbeat-interval.ts'
import { OwnKey } from './own-key.ts'
import { type OtherClock, PeerClocks } from './peer-clocks.ts'
import { openPeerRecord, type SignedRecord, sealPeerRecord } from './peer-record.ts'
import { ignore, type Outcome, reject, type Verdict, validatorOf } from './verdict.ts'

/** The part of gossipsub that heartbeats use. */
export interface HeartbeatTopic {
  topicValidators: Map<string, TopicValidatorFn>
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  /** Resolves to the peers that the message was sent to. A subscriber without an open stream is not included. */
  publish(topic: string, data: Uint8Array): Promise<{ recipients: PeerId[] }>
  getSubscribers(topic: string): PeerId[]
  addEventListener<E extends keyof HeartbeatTopicEvents>(type: E, listener: (event: HeartbeatTopicEvents[E]) => void): void
  removeEventListener<E extends keyof HeartbeatTopicEvents>(type: E, listener: (event: HeartbeatTopicEvents[E]) => void): void
}

export interface HeartbeatTopicEvents {
  'subscription-change': CustomEvent<SubscriptionChangeData>
  /** Gossipsub's own heartbeat, once a second. */
  'gossipsub:heartbeat': CustomEvent
}

/** Beats since the service was created. */
export interface HeartbeatCounts {
  sent: number
  /** Accepted beats from other peers. */
  received: number
  /** Unix time in milliseconds. */
  lastReceivedAtMs: number | undefined
  /** The interval in the last beat, in milliseconds. The next beat comes after at most a tenth more. 0 for a node that sends no beats. */
  intervalMs: number
}

export interface HeartbeatInit {
  pubsub: HeartbeatTopic
  book: AddressBook
  /** Called for beats that no honest peer publishes. */
  blame: Blame
  privateKey: PrivateKey
  subnetId: number
  /** Milliseconds between two beats: 500 to 600_000. With many peers the interval grows to at most five hours. */
  intervalMs: number
  /** Bound on the cost of all beats for this node, in bytes sent per second. */
  bytesPerSecond: number
  /** The addresses that this node announces now. */
  addresses(): Multiaddr[]
  /** How the addresses in a forwarded beat reached this node. @default as from a stranger */
  namedOver?: (sender: PeerId) => NamedOver
  /** This node's record as another node has it; undefined if that node has none. Called before each beat but the first. */
  recordElsewhere?: () => Promise<SignedRecord | undefined>
  /** An additional clock, such as the chain's. */
  otherClock?: () => OtherClock | undefined
  /** Whether beats of this author are accepted. @default all are */
  admits?: (author: PeerId) => Promise<boolean>
  log: Logger
  onHeartbeat?: (event: HeartbeatEvent) => void
  /** Called for each received or sent beat. */
  onOutcome?: (outcome: Outcome) => void
  now?: () => number
}

const MAX_HEARTBEAT_BYTES = 4 * 1024
const MAX_CLOCK_SKEW_MS = 60_000
const LIFETIME_INTERVALS = 3
/** JOINING, ONLINE, a new address and OFFLINE may arrive at once. */
const BURST = 4
const MAX_AUTHORS = 20_000
/** Random share added to each interval, so that nodes which start together do not keep beating together. */
const JITTER = 0.1
/** Overhead of gossipsub, yamux and Noise per beat: author, sequence number, topic, signature, and framing. */
const ENVELOPE_BYTES = 190
/** The average size of a beat covers about this many of the last beats. */
const AVERAGED_BEATS = 16

const STATES = new Map<WireState, PeerState>([
  [WireState.JOINING, 'joining'],
  [WireState.ONLINE, 'online'],
  [WireState.OFFLINE, 'offline'],
])

export function heartbeatTopic(subnetId: number): string {
  return `/subnet/${subnetId}/heartbeat/1.0.0`
}

/** Announces this peer and its addresses to the subnet, and keeps the address book of other peers. */
export class HeartbeatService {
  readonly #init: HeartbeatInit
  readonly #self: PeerId
  readonly #topic: string
  readonly #now: () => number
  readonly #rates: TokenBuckets
  #state: PeerState = 'joining'
  #running = false
  #timer: NodeJS.Timeout | undefined
  /** The average size of a beat, including this node's beats. */
  #beatBytes: number | undefined
  #announced = ''
  /** True while no peer has received the last beat. */
  #unheard = false
  #ownRecord: SignedRecord | undefined
  #publishing: Promise<unknown> = Promise.resolve()
  readonly #heard: Heard
  readonly #ownKey: OwnKey
  readonly #clocks: PeerClocks
  readonly #counts: { sent: number; intervalMs: number }

  constructor(init: HeartbeatInit) {
    this.#init = init
    this.#self = peerIdFromPublicKey(init.privateKey.publicKey)
    this.#topic = heartbeatTopic(init.subnetId)
    this.#now = init.now ?? Date.now
    this.#rates = new TokenBuckets({ maxKeys: MAX_AUTHORS, now: this.#now })
    this.#heard = new Heard({ ...init, now: this.#now })
    this.#ownKey = new OwnKey({ log: init.log, now: this.#now })
    this.#clocks = new PeerClocks({ log: init.log, now: this.#now, other: init.otherClock })
    this.#counts = { sent: 0, intervalMs: init.intervalMs }
  }

  /** The last announced record of this peer; undefined while the peer has no address. */
  get ownRecord(): SignedRecord | undefined {
    return this.#ownRecord?.multiaddrs.length === 0 ? undefined : this.#ownRecord
  }

  get counts(): Readonly<HeartbeatCounts> {
    return { ...this.#counts, ...this.#heard.counts }
  }

  /** The offset of this machine's clock, and the clocks that show it. Undefined without a problem, or if too few clocks are heard. */
  get clockProblem(): string | undefined {
    return this.#clocks.problem
  }

  /** Notices for the owner of this node. */
  get notices(): string[] {
    return this.#ownKey.notices
  }

  async start(): Promise<void> {
    if (this.#running) {
      return
    }
    const { pubsub } = this.#init
    this.#running = true
    this.#state = 'joining'
    pubsub.topicValidators.set(
      this.#topic,
      validatorOf('heartbeat', this.#init, async (message, sender) => this.receive(message, sender)),
    )
    pubsub.addEventListener('subscription-change', this.#onSubscription)
    pubsub.addEventListener('gossipsub:heartbeat', this.#onGossip)
    pubsub.subscribe(this.#topic)
    await this.#beat()
  }

  /** Sends a goodbye if there are subscribers, then unsubscribes. */
  async stop(): Promise<void> {
    if (!this.#running) {
      return
    }
    this.#running = false
    clearTimeout(this.#timer)
    this.#init.pubsub.removeEventListener('subscription-change', this.#onSubscription)
    this.#init.pubsub.removeEventListener('gossipsub:heartbeat', this.#onGossip)
    this.#state = 'offline'
    await this.#beat()
    this.#init.pubsub.unsubscribe(this.#topic)
    this.#init.pubsub.topicValidators.delete(this.#topic)
  }

  /** To be called when the node's own addresses may have changed. A change is announced at once. */
  async addressesChanged(): Promise<void> {
    if (this.#running && this.#init.addresses().join() !== this.#announced) {
      await this.#beat()
    }
  }

  /** Validates a beat and, if it is accepted, enters it into the book. @param sender the peer that forwarded it */
  async receive(message: Message, sender?: PeerId): Promise<Verdict> {
    const opened = await this.#open(message)
    if ('result' in opened) {
      return opened
    }
    const { beat, record, state } = opened
    const ageMs = this.#now() - Number(beat.sentAtMs)
    if (beat.intervalMs < HEARTBEAT_INTERVAL_MS.min || beat.intervalMs > HEARTBEAT_INTERVAL_MS.max) {
      return ignore('interval out of range')
    }
    this.#clocks.note(record.peerId.toString(), Number(beat.sentAtMs), beat.intervalMs)
    if (ageMs < -MAX_CLOCK_SKEW_MS) {
      return ignore('sent in the future')
    }
    if (ageMs > Math.max(MAX_CLOCK_SKEW_MS, LIFETIME_INTERVALS * beat.intervalMs)) {
      return ignore('older than its lifetime')
    }
    const known = this.#init.book.get(record.peerId)
    if (known?.envelope != null && record.seq <= known.seq) {
      return ignore('old sequence number')
    }
    if ((await this.#init.admits?.(record.peerId)) === false) {
      return ignore('its author is not let into this subnet')
    }
    if (!this.#rates.take(record.peerId.toString(), { burst: BURST, refillMs: beat.intervalMs })) {
      return ignore('too many heartbeats of this peer')
    }
    this.#weigh(message.data)
    return this.#store(beat, record, state, sender)
  }

  async #open(message: Message): Promise<Verdict | { beat: Heartbeat; record: SignedRecord; state: PeerState }> {
    if (message.type !== 'signed') {
      return reject('not signed')
    }
    if (message.data.byteLength > MAX_HEARTBEAT_BYTES) {
      return reject(`over ${MAX_HEARTBEAT_BYTES} bytes`)
    }
    try {
      const beat = fromBinary(HeartbeatSchema, message.data)
      const state = STATES.get(beat.state)
      if (beat.subnetId !== this.#init.subnetId) {
        return reject('of another subnet')
      }
      if (state == null) {
        return reject('without a state')
      }
      const record = await openPeerRecord(beat.signedPeerRecord)
      if (!record.peerId.equals(message.from)) {
        return reject('author is not the peer of the record')
      }
      if (record.peerId.equals(this.#self)) {
        this.#ownKey.saw(record)
        return ignore('our own')
      }
      return { beat, record, state }
    } catch (error) {
      return reject(describeError(error))
    }
  }

  async #store(beat: Heartbeat, record: SignedRecord, state: PeerState, sender: PeerId | undefined): Promise<Verdict> {
    const namedOver = sender == null ? undefined : this.#init.namedOver?.(sender)
    const result = await this.#heard.enter({ ...record, namedOver, state, intervalMs: beat.intervalMs })
    return result === 'old' ? ignore('old sequence number') : { result: 'accept' }
  }

  /** Sends beats one after the other, so that sequence numbers leave in order. */
  async #beat(): Promise<void> {
    const state = this.#state
    this.#publishing = this.#publishing
      .then(async () => this.#publish(state))
      .catch((error) => this.#init.log.warn('heartbeat not sent', error))
      .then(() => this.#schedule())
    await this.#publishing
  }

  /** A beat carries the time until the next one, so a longer interval is announced before it begins. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#running) {
      this.#timer = setTimeout(
        () => {
          void this.#lookElsewhere()
          this.#clocks.judge()
          void this.#beat()
        },
        this.#counts.intervalMs * (1 + JITTER * Math.random()),
      )
    }
  }

  /** Other peers may have this node's record from another node with the same key. */
  async #lookElsewhere(): Promise<void> {
    const record = this.#counts.sent === 0 ? undefined : await this.#init.recordElsewhere?.().catch(() => undefined)
    if (record?.peerId.equals(this.#self) === true) {
      this.#ownKey.saw(record)
    }
  }

  async #publish(state: PeerState): Promise<void> {
    const { book, privateKey, pubsub, subnetId } = this.#init
    const multiaddrs = this.#init.addresses()
    this.#announced = multiaddrs.join()
    const record = await sealPeerRecord(privateKey, multiaddrs, await book.nextSequence())
    this.#ownRecord = record
    this.#ownKey.signed(record)
    // the record is the largest part of a beat
    this.#weigh(record.envelope)
    const intervalMs = this.#affordableIntervalMs()
    const beat = create(HeartbeatSchema, {
      signedPeerRecord: record.envelope,
      subnetId,
      state: [...STATES].find(([, name]) => name === state)?.[0] ?? WireState.UNSPECIFIED,
      sentAtMs: BigInt(this.#now()),
      intervalMs,
    })
    const { recipients } = await pubsub.publish(this.#topic, toBinary(HeartbeatSchema, beat))
    this.#unheard = recipients.length === 0
    this.#counts.sent++
    this.#init.onOutcome?.('sent')
    this.#counts.intervalMs = intervalMs
  }

  #affordableIntervalMs(): number {
    const { book, bytesPerSecond, intervalMs: minMs } = this.#init
    const beatBytes = ENVELOPE_BYTES + (this.#beatBytes ?? 0)
    return affordableIntervalMs({ peers: 1 + book.countLiving(), beatBytes, bytesPerSecond, minMs })
  }

  #weigh({ byteLength }: Uint8Array): void {
    this.#beatBytes ??= byteLength
    this.#beatBytes += (byteLength - this.#beatBytes) / AVERAGED_BEATS
  }

  /**
   * The first subscriber gets a beat, because earlier beats had no receiver. So does a subscriber that is the only one: it may have
   * reconnected after the last beat was lost with its old connection.
   */
  readonly #onSubscription = (event: CustomEvent<SubscriptionChangeData>): void => {
    const listens = event.detail.subscriptions.some(({ topic, subscribe }) => subscribe && topic === this.#topic)
    if (listens && this.#state === 'joining') {
      this.#state = 'online'
      void this.#beat()
    } else if (listens && this.#init.pubsub.getSubscribers(this.#topic).length <= 1) {
      // with gossipsub's next heartbeat: a peer may subscribe again and again
      this.#unheard = true
    }
  }

  /** A peer that subscribes before a stream to it is open misses the beat sent on its subscription. The beat is sent again. */
  readonly #onGossip = (): void => {
    if (this.#unheard && this.#init.pubsub.getSubscribers(this.#topic).length > 0) {
      void this.#beat()
    }
  }
}
