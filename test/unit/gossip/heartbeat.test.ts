import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mock } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Message, type SubscriptionChangeData, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { type Heartbeat, HeartbeatSchema, PeerState } from '../../../src/gen/subnet/gossip/v1/heartbeat_pb.ts'
import type { AddressBook } from '../../../src/gossip/address-book.ts'
import { Blame } from '../../../src/gossip/blame.ts'
import type { HeartbeatEvent } from '../../../src/gossip/heard.ts'
import { type HeartbeatInit, HeartbeatService, type HeartbeatTopic, heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import { HEARTBEAT_BUDGET } from '../../../src/gossip/heartbeat-interval.ts'
import { openPeerRecord, type SignedRecord, sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { addresses, newPeer, newPeers, type TestPeer } from '../../support/keys.ts'
import { START_MS, TemporaryBook } from './temporary-book.ts'

const SUBNET = 7
const TOPIC = heartbeatTopic(SUBNET)
const INTERVAL_MS = 20_000
const HOUR_MS = 3_600_000
const FIRST_SEQ = 100n

/** Gossipsub at its port: keeps what is published, and lets a peer subscribe. */
class FakePubsub implements HeartbeatTopic {
  readonly topicValidators: HeartbeatTopic['topicValidators'] = new Map()
  readonly subscribed = new Set<string>()
  readonly events = new EventTarget()
  readonly subscribers = new Map<string, TestPeer>()
  readonly published: Array<{ beat: Heartbeat; record: SignedRecord }> = []
  readonly #events = new EventEmitter()
  fail = false
  /** Subscribers to whom no stream is open yet get nothing. */
  streamsOpen = true

  subscribe(topic: string): void {
    this.subscribed.add(topic)
  }

  unsubscribe(topic: string): void {
    this.subscribed.delete(topic)
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.events.addEventListener(type, listener as (event: Event) => void)
  }

  removeEventListener(type: string, listener: (event: never) => void): void {
    this.events.removeEventListener(type, listener as (event: Event) => void)
  }

  getSubscribers(): PeerId[] {
    return [...this.subscribers.values()].map(({ peerId }) => peerId)
  }

  async publish(topic: string, data: Uint8Array): Promise<{ recipients: PeerId[] }> {
    assert.equal(topic, TOPIC)
    if (this.fail) {
      throw new Error('no network')
    }
    const beat = fromBinary(HeartbeatSchema, data)
    this.published.push({ beat, record: await openPeerRecord(beat.signedPeerRecord) })
    this.#events.emit('published')
    return { recipients: this.streamsOpen ? this.getSubscribers() : [] }
  }

  async until(count: number): Promise<void> {
    while (this.published.length < count) {
      await once(this.#events, 'published')
    }
  }

  /** What the first `count` beats said, once they were. */
  async states(count: number): Promise<PeerState[]> {
    await this.until(count)
    return this.published.slice(0, count).map(({ beat }) => beat.state)
  }

  peerSubscribes(peer: TestPeer, topic = TOPIC, subscribe = true): void {
    if (subscribe && topic === TOPIC) {
      this.subscribers.set(peer.peerId.toString(), peer)
    } else {
      this.subscribers.delete(peer.peerId.toString())
    }
    const detail: SubscriptionChangeData = { peerId: peer.peerId, subscriptions: [{ topic, subscribe }] }
    this.events.dispatchEvent(new CustomEvent('subscription-change', { detail }))
  }

  /** A second passes at gossipsub. */
  passes(): void {
    this.events.dispatchEvent(new CustomEvent('gossipsub:heartbeat'))
  }
}

interface BeatInit {
  seq?: bigint
  /** Whose message it is, where that is not the record's peer. */
  author?: TestPeer
  multiaddrs?: Multiaddr[]
  /** Instead of the peer's own record. */
  envelope?: Uint8Array
  content?: MessageInitShape<typeof HeartbeatSchema>
  /** Bytes of an unknown field, to make it long. */
  paddingBytes?: number
}

async function beatOf(peer: TestPeer, init: BeatInit = {}): Promise<Message> {
  const { author = peer, seq = FIRST_SEQ, multiaddrs = addresses(peer, 2) } = init
  const signedPeerRecord = init.envelope ?? (await sealPeerRecord(peer.privateKey, multiaddrs, seq)).envelope
  const beat = create(HeartbeatSchema, {
    signedPeerRecord,
    subnetId: SUBNET,
    state: PeerState.ONLINE,
    sentAtMs: BigInt(START_MS),
    intervalMs: INTERVAL_MS,
    ...(init.content as object),
  })
  if (init.paddingBytes != null) {
    beat.$unknown = [{ no: 100, wireType: 2, data: new Uint8Array([...varint(init.paddingBytes), ...new Uint8Array(init.paddingBytes)]) }]
  }
  return messageOf(author, toBinary(HeartbeatSchema, beat))
}

function messageOf(author: TestPeer, data: Uint8Array): Message {
  const { publicKey: key } = author.privateKey
  return { type: 'signed', from: author.peerId, topic: TOPIC, data, sequenceNumber: 1n, signature: new Uint8Array(64), key }
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]
}

function withByteChanged(bytes: Uint8Array, index: number): Uint8Array {
  const changed = bytes.slice()
  changed[index] = (changed[index] ?? 0) ^ 1
  return changed
}

/** A record about `about` in an envelope that `signer` signed. */
async function forgedRecord(about: TestPeer, signer: TestPeer): Promise<Uint8Array> {
  const record = new PeerRecord({ peerId: about.peerId, multiaddrs: addresses(about, 1), seqNumber: 1_000n })
  return (await RecordEnvelope.seal(record, signer.privateKey)).marshal()
}

describe('the heartbeat service', () => {
  let temporary: TemporaryBook
  let book: AddressBook
  let pubsub: FakePubsub
  let blame: Blame
  let heard: HeartbeatEvent[]
  let logged: string[]
  let self: TestPeer
  let author: TestPeer
  let other: TestPeer
  let own: Multiaddr[]

  before(async () => {
    self = await newPeer()
    author = await newPeer()
    other = await newPeer()
  })

  beforeEach(async () => {
    temporary = await TemporaryBook.create()
    book = await temporary.open()
    pubsub = new FakePubsub()
    blame = new Blame(() => temporary.clock.nowMs)
    heard = []
    logged = []
    own = addresses(self, 1)
  })

  afterEach(async () => temporary.remove())

  function service(overrides: Partial<HeartbeatInit> = {}): HeartbeatService {
    return new HeartbeatService({
      pubsub,
      book,
      blame,
      privateKey: self.privateKey,
      subnetId: SUBNET,
      intervalMs: INTERVAL_MS,
      bytesPerSecond: HEARTBEAT_BUDGET.default,
      addresses: () => own,
      log: createLogger('debug', (line) => logged.push(line)),
      onHeartbeat: (event) => heard.push(event),
      now: () => temporary.clock.nowMs,
      ...overrides,
    })
  }

  describe('that receives a good beat', () => {
    it('enters it into the book and tells of it', async () => {
      assert.deepEqual(await service().receive(await beatOf(author)), { result: 'accept' })
      const entry = book.get(author.peerId)
      assert.ok(entry != null)
      assert.deepEqual(entry.multiaddrs.map(String), addresses(author, 2).map(String))
      const { seq, origin, state, seenAtMs, heartbeatAtMs, intervalMs, bad } = entry
      assert.deepEqual(
        { seq, origin, state, seenAtMs, heartbeatAtMs, intervalMs, bad },
        {
          seq: FIRST_SEQ,
          origin: 'gossip',
          state: 'online',
          seenAtMs: START_MS,
          heartbeatAtMs: START_MS,
          intervalMs: INTERVAL_MS,
          bad: false,
        },
      )
      assert.ok(book.isFresh(entry))
      assert.deepEqual(heard, [{ peerId: author.peerId.toString(), state: 'online', multiaddrs: addresses(author, 2).map(String) }])
    })

    it('takes sequence numbers above 2^53, and the exact limits of size, clock, interval and addresses', async () => {
      const seq = 2n ** 63n - 1n
      assert.deepEqual(await service().receive(await beatOf(author, { seq, multiaddrs: addresses(author, 16) })), { result: 'accept' })
      assert.equal(book.get(author.peerId)?.seq, seq)
      const bare = (await beatOf(other)).data.byteLength
      const full = await beatOf(other, { paddingBytes: 4_096 - bare - 4 })
      assert.equal(full.data.byteLength, 4_096)
      assert.equal((await service().receive(full)).result, 'accept')
      for (const [index, content] of [
        { sentAtMs: BigInt(START_MS + 60_000) },
        { sentAtMs: BigInt(START_MS - 60_000) },
        { intervalMs: 18_000_000, sentAtMs: BigInt(START_MS - 54_000_000) },
        { intervalMs: 500 },
      ].entries()) {
        const verdict = await service().receive(await beatOf(other, { seq: FIRST_SEQ + BigInt(index) + 1n, content }))
        assert.deepEqual(verdict, { result: 'accept' }, JSON.stringify(Object.keys(content)))
      }
    })

    it('replaces the addresses by those of a newer beat, and clears that they were bad', async () => {
      const heartbeats = service()
      await heartbeats.receive(await beatOf(author))
      await book.markBad(author.peerId, FIRST_SEQ)
      await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 1n, multiaddrs: [author.at(9)] }))
      assert.deepEqual(book.get(author.peerId)?.multiaddrs.map(String), [author.at(9).toString()])
      assert.equal(book.get(author.peerId)?.bad, false)
    })

    it('keeps of its addresses only those that can be the author’s own', async () => {
      // sealed by hand: an honest peer signs no address of another
      const record = new PeerRecord({ peerId: author.peerId, multiaddrs: [other.at(1), author.at(2)], seqNumber: FIRST_SEQ })
      const envelope = (await RecordEnvelope.seal(record, author.privateKey)).marshal()
      assert.equal((await service().receive(await beatOf(author, { envelope }))).result, 'accept')
      assert.deepEqual(book.get(author.peerId)?.multiaddrs.map(String), [author.at(2).toString()])
    })

    it('says that its own clock is off where those of three authors say so, though their beats are not believed', async () => {
      const heartbeats = service()
      for (const peer of [author, other, await newPeer()]) {
        assert.equal(heartbeats.clockProblem, undefined)
        const verdict = await heartbeats.receive(await beatOf(peer, { content: { sentAtMs: BigInt(START_MS + 120_000) } }))
        assert.equal(verdict.result, 'ignore')
      }
      assert.match(heartbeats.clockProblem ?? '', /is 2 min behind those of 3 peers/)
      assert.equal(logged.filter((line) => /warn: the clock of this machine/.test(line)).length, 1)
    })

    it('holds a peer that said OFFLINE for gone', async () => {
      const heartbeats = service()
      await heartbeats.receive(await beatOf(author))
      await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 1n, content: { state: PeerState.OFFLINE } }))
      const entry = book.get(author.peerId)
      assert.equal(entry?.state, 'offline')
      assert.ok(entry != null && !book.isFresh(entry))
      assert.equal(heard.at(-1)?.state, 'offline')
    })

    it('passes it on though the book is full of the living, and says so', async () => {
      book = await temporary.open({ capacity: 1 })
      const heartbeats = service()
      await heartbeats.receive(await beatOf(other))
      const before = temporary.rows()
      assert.deepEqual(await heartbeats.receive(await beatOf(author)), { result: 'accept' })
      assert.deepEqual(temporary.rows(), before)
      assert.match(logged.join(), /full/)
    })
  })

  describe('that receives what is not to be believed', () => {
    const cases: Array<{ name: string; result: 'reject' | 'ignore'; reason: RegExp; beat: () => Promise<Message> }> = [
      {
        name: 'a record that another key signed, in the name of its peer',
        result: 'reject',
        reason: /signed by another peer/,
        beat: async () => beatOf(author, { envelope: await forgedRecord(author, other) }),
      },
      {
        name: 'a record that another key signed, in the name of the forger',
        result: 'reject',
        reason: /signed by another peer/,
        beat: async () => beatOf(author, { author: other, envelope: await forgedRecord(author, other) }),
      },
      {
        name: 'a true record that another peer sends as its own',
        result: 'reject',
        reason: /author is not/,
        beat: async () => beatOf(author, { author: other, seq: FIRST_SEQ + 1n }),
      },
      {
        name: 'an envelope of another kind, truly signed',
        result: 'reject',
        reason: /./,
        beat: async () => {
          const { envelope } = await sealPeerRecord(author.privateKey, addresses(author, 1), FIRST_SEQ + 1n)
          const payload = RecordEnvelope.createFromProtobuf(envelope).payload
          const codec = new TextEncoder().encode('/another/kind')
          const signable = { domain: 'another', codec, marshal: () => payload, equals: () => false }
          return beatOf(author, { envelope: (await RecordEnvelope.seal(signable, author.privateKey)).marshal() })
        },
      },
      {
        name: 'the beat that it has already',
        result: 'ignore',
        reason: /old sequence number/,
        beat: async () => beatOf(author),
      },
      {
        name: 'a beat from before the one it has',
        result: 'ignore',
        reason: /old sequence number/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ - 1n, multiaddrs: [author.at(9)] }),
      },
      {
        name: 'a sequence number of more than 63 bits',
        result: 'reject',
        reason: /63 bits/,
        beat: async () => beatOf(author, { seq: 2n ** 63n }),
      },
      {
        name: 'more than 4 KiB',
        result: 'reject',
        reason: /over 4096 bytes/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, paddingBytes: 4_096 }),
      },
      {
        name: 'a beat of another subnet',
        result: 'reject',
        reason: /another subnet/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { subnetId: SUBNET + 1 } }),
      },
      {
        name: 'a beat an hour old',
        result: 'ignore',
        reason: /older than its lifetime/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { sentAtMs: BigInt(START_MS - HOUR_MS) } }),
      },
      {
        name: 'a beat sixteen hours old with the longest interval there is',
        result: 'ignore',
        reason: /older than its lifetime/,
        beat: async () =>
          beatOf(author, { seq: FIRST_SEQ + 1n, content: { intervalMs: 18_000_000, sentAtMs: BigInt(START_MS - 16 * HOUR_MS) } }),
      },
      {
        name: 'a beat just older than its lifetime',
        result: 'ignore',
        reason: /older than its lifetime/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { sentAtMs: BigInt(START_MS - 60_001) } }),
      },
      {
        name: 'a beat from more than 60 s in the future',
        result: 'ignore',
        reason: /future/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { sentAtMs: BigInt(START_MS + 60_001) } }),
      },
      {
        name: 'a beat from the end of time',
        result: 'ignore',
        reason: /future/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { sentAtMs: 2n ** 64n - 1n } }),
      },
      {
        name: 'an interval that is too short',
        result: 'ignore',
        reason: /interval/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { intervalMs: 499 } }),
      },
      {
        name: 'an interval that is too long',
        result: 'ignore',
        reason: /interval/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { intervalMs: 18_000_001 } }),
      },
      {
        name: 'more than 16 addresses',
        result: 'reject',
        reason: /more than 16 addresses/,
        beat: async () => {
          const record = new PeerRecord({ peerId: author.peerId, multiaddrs: addresses(author, 17), seqNumber: FIRST_SEQ + 1n })
          return beatOf(author, { envelope: (await RecordEnvelope.seal(record, author.privateKey)).marshal() })
        },
      },
      {
        name: 'a beat without a state',
        result: 'reject',
        reason: /without a state/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { state: PeerState.UNSPECIFIED } }),
      },
      {
        name: 'a beat with a state that does not exist',
        result: 'reject',
        reason: /without a state/,
        beat: async () => beatOf(author, { seq: FIRST_SEQ + 1n, content: { state: 9 as PeerState } }),
      },
      { name: 'what is no protobuf', result: 'reject', reason: /./, beat: async () => messageOf(author, new Uint8Array(100).fill(255)) },
      { name: 'nothing at all', result: 'reject', reason: /./, beat: async () => messageOf(author, new Uint8Array()) },
      {
        name: 'a message without a signature',
        result: 'reject',
        reason: /not signed/,
        beat: async () => ({ type: 'unsigned', topic: TOPIC, data: (await beatOf(author, { seq: FIRST_SEQ + 1n })).data }),
      },
      { name: 'its own beat', result: 'ignore', reason: /our own/, beat: async () => beatOf(self) },
    ]

    for (const { name, result, reason, beat } of cases) {
      it(`${result}s ${name}, and leaves the book as it was`, async () => {
        const heartbeats = service()
        await heartbeats.receive(await beatOf(author))
        heard = []
        const before = temporary.rows()
        assert.equal(before.length, 1)
        const verdict = await heartbeats.receive(await beat())
        assert.equal(verdict.result, result)
        assert.match('reason' in verdict ? verdict.reason : '', reason)
        assert.deepEqual(temporary.rows(), before)
        assert.deepEqual(heard, [])
      })
    }

    it('rejects an envelope whose content, signature or key was changed, and leaves the book as it was', async () => {
      const heartbeats = service()
      await heartbeats.receive(await beatOf(author))
      const before = temporary.rows()
      const { envelope } = await sealPeerRecord(author.privateKey, addresses(author, 1), FIRST_SEQ + 1n)
      const { publicKey, payloadType, payload, signature } = RecordEnvelope.createFromProtobuf(envelope)
      const parts = { publicKey, payloadType, payload, signature }
      for (const change of [
        { payload: withByteChanged(payload, payload.byteLength - 1) },
        { signature: withByteChanged(signature, 0) },
        { payloadType: new Uint8Array([3, 2]) },
        { publicKey: other.privateKey.publicKey },
      ]) {
        const tampered = new RecordEnvelope({ ...parts, ...change }).marshal()
        const { result } = await heartbeats.receive(await beatOf(author, { envelope: tampered }))
        assert.equal(result, 'reject', Object.keys(change).join())
      }
      assert.deepEqual(temporary.rows(), before)
      assert.equal((await heartbeats.receive(await beatOf(author, { envelope }))).result, 'accept')
    })

    it('ignores what one author sends beyond a burst of four, until an interval has passed, and nobody else for it', async () => {
      const heartbeats = service()
      const verdicts: string[] = []
      for (let index = 0n; index < 6n; index++) {
        verdicts.push((await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + index }))).result)
      }
      assert.deepEqual(verdicts, ['accept', 'accept', 'accept', 'accept', 'ignore', 'ignore'])
      assert.equal(book.get(author.peerId)?.seq, FIRST_SEQ + 3n)
      const before = temporary.rows()
      const flood = await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 10n }))
      assert.deepEqual(flood, { result: 'ignore', reason: 'too many heartbeats of this peer' })
      assert.deepEqual(temporary.rows(), before)
      assert.equal((await heartbeats.receive(await beatOf(other))).result, 'accept')
      temporary.clock.nowMs += INTERVAL_MS
      assert.equal((await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 11n }))).result, 'accept')
      assert.equal((await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 12n }))).result, 'ignore')
    })

    it('takes the beat that announces a longer interval, or a shorter one, once the burst is used up', async () => {
      const heartbeats = service()
      let seq = FIRST_SEQ
      const said = async (intervalMs: number): Promise<string> => {
        const content = { intervalMs, sentAtMs: BigInt(temporary.clock.nowMs) }
        return (await heartbeats.receive(await beatOf(author, { seq: seq++, content }))).result
      }
      for (let index = 0; index < 4; index++) {
        assert.equal(await said(INTERVAL_MS), 'accept')
      }
      assert.equal(await said(INTERVAL_MS), 'ignore')
      for (const [passedMs, announcedMs] of [
        [INTERVAL_MS, 600_000],
        [600_000, 500],
        [500, 600_000],
        [600_000, 600_000],
      ] as const) {
        temporary.clock.nowMs += passedMs
        assert.equal(await said(announcedMs), 'accept', `${announcedMs} ms after ${passedMs} ms`)
        assert.equal(await said(announcedMs), 'ignore')
        assert.equal(book.get(author.peerId)?.intervalMs, announcedMs)
      }
    })

    it('does not let forged beats use up the burst of the peer they name', async () => {
      const heartbeats = service()
      for (let index = 0; index < 10; index++) {
        await heartbeats.receive(await beatOf(author, { author: other, seq: FIRST_SEQ + BigInt(index) }))
      }
      assert.equal((await heartbeats.receive(await beatOf(author, { seq: FIRST_SEQ + 20n }))).result, 'accept')
    })

    it('answers gossipsub in gossipsub’s own words, whatever comes', async () => {
      const heartbeats = service()
      await heartbeats.start()
      const judge = pubsub.topicValidators.get(TOPIC)
      assert.equal(await judge?.(other.peerId, await beatOf(author)), TopicValidatorResult.Accept)
      assert.equal(await judge?.(other.peerId, await beatOf(author)), TopicValidatorResult.Ignore)
      await heartbeats.stop()
    })

    for (const sender of ['its author', 'another peer'] as const) {
      it(`blames the author of a beat that it rejects, and lets gossipsub ignore it, where ${sender} sent it`, async () => {
        const heartbeats = service()
        await heartbeats.start()
        const judge = pubsub.topicValidators.get(TOPIC)
        const from = sender === 'its author' ? author.peerId : other.peerId
        assert.equal(await judge?.(from, messageOf(author, new Uint8Array(9))), TopicValidatorResult.Ignore)
        assert.deepEqual([blame.scoreOf(author.peerId.toString()), blame.scoreOf(other.peerId.toString())], [-1, 0])
        await heartbeats.stop()
      })
    }

    it('blames nobody for a beat that it ignores', async () => {
      const heartbeats = service()
      await heartbeats.start()
      const judge = pubsub.topicValidators.get(TOPIC)
      const late = await beatOf(author, { content: { sentAtMs: BigInt(START_MS - HOUR_MS) } })
      assert.equal(await judge?.(author.peerId, late), TopicValidatorResult.Ignore)
      assert.equal(blame.scoreOf(author.peerId.toString()), 0)
      await heartbeats.stop()
    })

    it('rejects a message without a signature, which no honest peer passes on', async () => {
      const heartbeats = service()
      await heartbeats.start()
      const judge = pubsub.topicValidators.get(TOPIC)
      const unsigned: Message = { type: 'unsigned', topic: TOPIC, data: new Uint8Array(9) }
      assert.equal(await judge?.(other.peerId, unsigned), TopicValidatorResult.Reject)
      await heartbeats.stop()
    })

    it('ignores a beat that cannot be stored: it is no fault of the sender', async () => {
      const heartbeats = service()
      await heartbeats.start()
      const judge = pubsub.topicValidators.get(TOPIC)
      ;(await temporary.connect()).exec('DROP TABLE address_book')
      assert.equal(await judge?.(other.peerId, await beatOf(author)), TopicValidatorResult.Ignore)
      await heartbeats.stop()
    })
  })

  describe('that tells of itself', () => {
    let running: HeartbeatService | undefined

    afterEach(async () => running?.stop())

    async function start(overrides: Partial<HeartbeatInit> = {}): Promise<HeartbeatService> {
      running = service(overrides)
      await running.start()
      return running
    }

    it('says JOINING at the start, with its addresses in a record that it signed', async () => {
      const heartbeats = await start()
      assert.deepEqual([...pubsub.subscribed], [TOPIC])
      const [first] = pubsub.published
      assert.ok(first != null)
      assert.equal(first.beat.state, PeerState.JOINING)
      assert.equal(first.beat.subnetId, SUBNET)
      assert.equal(first.beat.intervalMs, INTERVAL_MS)
      assert.equal(first.beat.sentAtMs, BigInt(START_MS))
      assert.ok(first.record.peerId.equals(self.peerId))
      assert.deepEqual(first.record.multiaddrs.map(String), own.map(String))
      assert.deepEqual(heartbeats.ownRecord?.envelope, first.record.envelope)
    })

    it('says ONLINE when the first peer subscribes, and not again for the second', async () => {
      await start()
      pubsub.peerSubscribes(author, '/another/topic')
      pubsub.peerSubscribes(author, TOPIC, false)
      pubsub.peerSubscribes(author)
      pubsub.peerSubscribes(other)
      await pubsub.until(2)
      await running?.stop()
      assert.deepEqual(await pubsub.states(3), [PeerState.JOINING, PeerState.ONLINE, PeerState.OFFLINE])
    })

    it('says again, a second later, what no subscriber got, and once it is got not again', async () => {
      const heartbeats = await start()
      pubsub.streamsOpen = false
      pubsub.passes()
      pubsub.peerSubscribes(author)
      assert.deepEqual(await pubsub.states(2), [PeerState.JOINING, PeerState.ONLINE])
      pubsub.streamsOpen = true
      // the beat is answered for before the next second
      await new Promise(setImmediate)
      pubsub.passes()
      assert.deepEqual(await pubsub.states(3), [PeerState.JOINING, PeerState.ONLINE, PeerState.ONLINE])
      await new Promise(setImmediate)
      pubsub.passes()
      await heartbeats.addressesChanged()
      assert.equal(pubsub.published.length, 3)
    })

    it('says again, a second later, to the only subscriber that comes anew: the last beat may be lost with its old connection', async () => {
      await start()
      pubsub.peerSubscribes(author)
      assert.deepEqual(await pubsub.states(2), [PeerState.JOINING, PeerState.ONLINE])
      await new Promise(setImmediate)
      pubsub.peerSubscribes(author, TOPIC, false)
      pubsub.peerSubscribes(author)
      pubsub.peerSubscribes(author)
      assert.equal(pubsub.published.length, 2)
      pubsub.passes()
      await pubsub.until(3)
      await new Promise(setImmediate)
      pubsub.peerSubscribes(other)
      pubsub.passes()
      await new Promise(setImmediate)
      assert.equal(pubsub.published.length, 3)
    })

    it('beats again each interval, in the same state', async () => {
      await start({ intervalMs: 20 })
      pubsub.peerSubscribes(author)
      assert.deepEqual(await pubsub.states(4), [PeerState.JOINING, PeerState.ONLINE, PeerState.ONLINE, PeerState.ONLINE])
    })

    it('announces a longer interval when it has heard many, and begins it with the beat that says so', async () => {
      mock.timers.enable({ apis: ['setTimeout'] })
      try {
        const heartbeats = await start({ bytesPerSecond: 1_024 })
        for (const peer of await newPeers(9)) {
          await heartbeats.receive(await beatOf(peer))
        }
        assert.equal(heartbeats.counts.intervalMs, INTERVAL_MS, 'what was promised holds until the next beat')
        mock.timers.tick(INTERVAL_MS - 1)
        assert.equal(pubsub.published.length, 1, 'not before it is due')
        mock.timers.tick(INTERVAL_MS / 10 + 1)
        await pubsub.until(2)
        const announcedMs = pubsub.published[1]?.beat.intervalMs ?? 0
        assert.ok(announcedMs > 1.5 * INTERVAL_MS, String(announcedMs))
        // the timer is set once the beat is out
        await new Promise(setImmediate)
        assert.equal(heartbeats.counts.intervalMs, announcedMs)
        mock.timers.tick(announcedMs - 1)
        assert.equal(pubsub.published.length, 2)
        mock.timers.tick(announcedMs / 10 + 1)
        await pubsub.until(3)
      } finally {
        mock.timers.reset()
      }
    })

    it('waits a whole interval again after a beat that came early', async () => {
      mock.timers.enable({ apis: ['setTimeout'] })
      try {
        const heartbeats = await start()
        mock.timers.tick(INTERVAL_MS - 1)
        own = [self.at(2_000)]
        await heartbeats.addressesChanged()
        mock.timers.tick(INTERVAL_MS - 1)
        assert.equal(pubsub.published.length, 2)
        mock.timers.tick(INTERVAL_MS / 10 + 1)
        await pubsub.until(3)
      } finally {
        mock.timers.reset()
      }
    })

    it('goes back to the interval that was configured when the others have gone or fallen silent', async () => {
      const heartbeats = await start({ bytesPerSecond: 1_024 })
      const peers = await newPeers(9)
      for (const peer of peers) {
        await heartbeats.receive(await beatOf(peer))
      }
      const intervals: number[] = []
      const announce = async (port: number): Promise<void> => {
        own = [self.at(port)]
        await heartbeats.addressesChanged()
        intervals.push(heartbeats.counts.intervalMs)
      }
      await announce(2_000)
      for (const peer of peers.slice(0, 7)) {
        await heartbeats.receive(await beatOf(peer, { seq: FIRST_SEQ + 1n, content: { state: PeerState.OFFLINE } }))
      }
      await announce(2_001)
      temporary.clock.nowMs += 3 * INTERVAL_MS + 1
      await announce(2_002)
      const [many = 0, three = 0, alone = 0] = intervals
      assert.ok(many > INTERVAL_MS, intervals.join())
      assert.deepEqual([three, alone], [INTERVAL_MS, INTERVAL_MS])
    })

    it('tries again an interval later when a beat could not be sent', async () => {
      mock.timers.enable({ apis: ['setTimeout'] })
      try {
        await start()
        pubsub.fail = true
        mock.timers.tick(INTERVAL_MS * 1.1)
        while (logged.length === 0) {
          await new Promise(setImmediate)
        }
        pubsub.fail = false
        await new Promise(setImmediate)
        mock.timers.tick(INTERVAL_MS * 1.1)
        await pubsub.until(2)
      } finally {
        mock.timers.reset()
      }
    })

    it('beats at once when its addresses changed, and not when they did not', async () => {
      const heartbeats = await start()
      await heartbeats.addressesChanged()
      assert.deepEqual(await pubsub.states(1), [PeerState.JOINING])
      own = [self.at(2_000), self.at(2_001)]
      await heartbeats.addressesChanged()
      await heartbeats.addressesChanged()
      assert.equal(pubsub.published.length, 2)
      assert.deepEqual(pubsub.published[1]?.record.multiaddrs.map(String), own.map(String))
    })

    it('says OFFLINE when it stops, then nothing any more, and leaves nothing behind', async () => {
      const heartbeats = await start({ intervalMs: 20 })
      await heartbeats.stop()
      const said = pubsub.published.length
      assert.equal(pubsub.published.at(-1)?.beat.state, PeerState.OFFLINE)
      await heartbeats.stop()
      pubsub.peerSubscribes(author)
      own = [self.at(2_000)]
      await heartbeats.addressesChanged()
      assert.equal(pubsub.published.length, said)
      assert.equal(pubsub.subscribed.size, 0)
      assert.equal(pubsub.topicValidators.size, 0)
      pubsub.passes()
      assert.equal(pubsub.published.length, said)
    })

    it('starts once when it is told to twice, and again after it was stopped', async () => {
      const heartbeats = await start()
      await heartbeats.start()
      assert.equal(pubsub.published.length, 1)
      await heartbeats.stop()
      await heartbeats.start()
      assert.deepEqual(await pubsub.states(3), [PeerState.JOINING, PeerState.OFFLINE, PeerState.JOINING])
    })

    it('has no record to give while it has no address', async () => {
      own = []
      const heartbeats = await start()
      const told = () => heartbeats.ownRecord?.multiaddrs.map(String)
      assert.equal(told(), undefined)
      own = addresses(self, 1)
      await heartbeats.addressesChanged()
      assert.deepEqual(told(), own.map(String))
    })

    it('leaves out addresses rather than send a beat that others must reject for its size', async () => {
      const { privateKey } = await newPeer('RSA')
      own = Array.from({ length: 16 }, (_, index) => multiaddr(`/dns4/${'a'.repeat(240)}${index}.example/tcp/1`))
      await start({ privateKey })
      const [beat] = pubsub.published
      assert.ok(beat != null && beat.record.multiaddrs.length > 4)
      assert.ok(toBinary(HeartbeatSchema, beat.beat).byteLength <= 4_096)
    })

    it('goes on beating after one could not be sent', async () => {
      const heartbeats = await start()
      pubsub.fail = true
      own = [self.at(2_000)]
      await heartbeats.addressesChanged()
      assert.match(logged.join(), /heartbeat not sent: no network/)
      pubsub.fail = false
      own = [self.at(3_000)]
      await heartbeats.addressesChanged()
      assert.equal(pubsub.published.length, 2)
    })

    it('numbers its records in rising order, in the order they leave, over restarts, and when the clock goes back', async () => {
      const heartbeats = await start()
      pubsub.peerSubscribes(author)
      own = [self.at(2_000)]
      await Promise.all([heartbeats.addressesChanged(), heartbeats.addressesChanged()])
      await heartbeats.stop()
      temporary.clock.nowMs -= HOUR_MS
      book = await temporary.open()
      await start()
      await running?.stop()
      const sequence = pubsub.published.map(({ record }) => record.seq)
      assert.ok(sequence.length >= 6)
      assert.equal(sequence[0], BigInt(START_MS))
      assert.ok(
        sequence.every((seq, index) => index === 0 || seq > (sequence[index - 1] ?? 0n)),
        sequence.join(),
      )
    })
  })
})
