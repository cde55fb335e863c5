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

/** What heartbeats need of gossipsub. */
export interface HeartbeatTopic {
  topicValidators: Map<string, TopicValidatorFn>
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  /** Gives those it was sent to: a subscriber whose stream is not open yet is not among them. */
  publish(topic: string, data: Uint8Array): Promise<{ recipients: PeerId[] }>
  getSubscribers(topic: string): PeerId[]
  addEventListener<E extends keyof HeartbeatTopicEvents>(type: E, listener: (event: HeartbeatTopicEvents[E]) => void): void
  removeEventListener<E extends keyof HeartbeatTopicEvents>(type: E, listener: (event: HeartbeatTopicEvents[E]) => void): void
}

export interface HeartbeatTopicEvents {
  'subscription-change': CustomEvent<SubscriptionChangeData>
  /** Gossipsub's own, once a second. */
  'gossipsub:heartbeat': CustomEvent
}

/** Beats since the service was made. */
export interface HeartbeatCounts {
  sent: number
  /** Accepted from others. */
  received: number
  /** Unix time in milliseconds. */
  lastReceivedAtMs: number | undefined
  /** What the last beat promised: milliseconds until the next one, at most a tenth more. 0 for a node that does not beat. */
  intervalMs: number
}

export interface HeartbeatInit {
  pubsub: HeartbeatTopic
  book: AddressBook
  /** Told of beats that no honest peer publishes. */
  blame: Blame
  privateKey: PrivateKey
  subnetId: number
  /** Milliseconds between two beats: 500 to 600_000. Where peers are many it gets longer, up to five hours. */
  intervalMs: number
  /** What the beats of all may cost this node, in bytes sent per second. */
  bytesPerSecond: number
  /** One's own addresses, as they are worth telling now. */
  addresses(): Multiaddr[]
  /** How a peer names addresses that it passes on. @default as a stranger */
  namedOver?: (sender: PeerId) => NamedOver
  /** This node's own record as another one has it; undefined where that has none. Asked before each beat but the first. */
  recordElsewhere?: () => Promise<SignedRecord | undefined>
  /** A clock beside those of peers, as that of the chain. */
  otherClock?: () => OtherClock | undefined
  /** Whether this author's beats count; without it all do. */
  admits?: (author: PeerId) => Promise<boolean>
  log: Logger
  onHeartbeat?: (event: HeartbeatEvent) => void
  /** Told of each beat that came or went. */
  onOutcome?: (outcome: Outcome) => void
  now?: () => number
}

const MAX_HEARTBEAT_BYTES = 4 * 1024
const MAX_CLOCK_SKEW_MS = 60_000
const LIFETIME_INTERVALS = 3
/** JOINING, ONLINE, a new address, OFFLINE: that many may come at once. */
const BURST = 4
const MAX_AUTHORS = 20_000
/** Nodes that were started together do not go on beating together: each waits up to so much longer, every time anew. */
const JITTER = 0.1
/** What gossipsub, yamux and Noise add to a beat: its author, number, topic and signature, and the frames around it. */
const ENVELOPE_BYTES = 190
/** The size of a beat is an average over about so many of the last. */
const AVERAGED_BEATS = 16

const STATES = new Map<WireState, PeerState>([
  [WireState.JOINING, 'joining'],
  [WireState.ONLINE, 'online'],
  [WireState.OFFLINE, 'offline'],
])

export function heartbeatTopic(subnetId: number): string {
  return `/subnet/${subnetId}/heartbeat/1.0.0`
}

/** Tells the subnet that and where this peer lives, and keeps the book of what others tell. */
export class HeartbeatService {
  readonly #init: HeartbeatInit
  readonly #self: PeerId
  readonly #topic: string
  readonly #now: () => number
  readonly #rates: TokenBuckets
  #state: PeerState = 'joining'
  #running = false
  #timer: NodeJS.Timeout | undefined
  /** The average beat, one's own among them. */
  #beatBytes: number | undefined
  #announced = ''
  /** True while nobody got the last beat. */
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

  /** What this peer last told of itself; none while it has no address. */
  get ownRecord(): SignedRecord | undefined {
    return this.#ownRecord?.multiaddrs.length === 0 ? undefined : this.#ownRecord
  }

  get counts(): Readonly<HeartbeatCounts> {
    return { ...this.#counts, ...this.#heard.counts }
  }

  /** How far the clock of this machine is off, and against whose; undefined where it is not, or nobody who counts is heard. */
  get clockProblem(): string | undefined {
    return this.#clocks.problem
  }

  /** What the owner of this node should know. */
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

  /** Says goodbye, if somebody listens, and stops listening itself. */
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

  /** To be called when the node's own addresses may have changed: a change goes out at once. */
  async addressesChanged(): Promise<void> {
    if (this.#running && this.#init.addresses().join() !== this.#announced) {
      await this.#beat()
    }
  }

  /** Checks a beat and, if it is accepted, enters it into the book. @param sender who passed it on */
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
      return ignore('too many beats of this peer')
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

  /** One after the other, so that sequence numbers leave in order. */
  async #beat(): Promise<void> {
    const state = this.#state
    this.#publishing = this.#publishing
      .then(async () => this.#publish(state))
      .catch((error) => this.#init.log.warn('heartbeat not sent', error))
      .then(() => this.#schedule())
    await this.#publishing
  }

  /** What a beat says is when the next one is due: a longer interval is known of before it begins. */
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

  /** What others have of this node may be what another node with its key told them. */
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
    // most of a beat is its record
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
   * The first listener hears that this peer is there; what was said before, nobody heard. The same goes for the only one, later: it may come over a new
   * connection after the last beat was lost with the old one.
   */
  readonly #onSubscription = (event: CustomEvent<SubscriptionChangeData>): void => {
    const listens = event.detail.subscriptions.some(({ topic, subscribe }) => subscribe && topic === this.#topic)
    if (listens && this.#state === 'joining') {
      this.#state = 'online'
      void this.#beat()
    } else if (listens && this.#init.pubsub.getSubscribers(this.#topic).length <= 1) {
      // with the next second: a peer may subscribe again and again
      this.#unheard = true
    }
  }

  /** A peer that subscribes before a stream to it is open does not get the beat that greets it: it is said again. */
  readonly #onGossip = (): void => {
    if (this.#unheard && this.#init.pubsub.getSubscribers(this.#topic).length > 0) {
      void this.#beat()
    }
  }
}
