import assert from 'node:assert/strict'
import { type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import { peerIdFromString } from '@libp2p/peer-id'
import type { AddressBook } from '../../../src/gossip/address-book.ts'
import { Blame } from '../../../src/gossip/blame.ts'
import type { HeartbeatEvent } from '../../../src/gossip/heard.ts'
import { PEER_STATE_TOPIC, type PeerStateInit, PeerStateService, type PeerStateTopic } from '../../../src/gossip/peer-state.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer, newPeers, type TestPeer } from '../../support/keys.ts'
import {
  announcementOf,
  dumps,
  encoded,
  type Json,
  recordedStates,
  type StateInit,
  type StateMessage,
  sha256,
  stateOf,
} from '../../support/template-state.ts'
import { START_MS, signedEntry, TemporaryBook, unsignedEntry } from './temporary-book.ts'

const HOUR_MS = 3_600_000
const ADDRESS = '/ip4/10.0.0.1/tcp/1000'
const STRANGERS = 10_000
const NEW_AUTHORS_A_MINUTE = 64
/** As long as their states take to come through one peer. */
const MINUTES = 2

class FakePubsub implements PeerStateTopic {
  readonly topicValidators: PeerStateTopic['topicValidators'] = new Map()
  readonly subscribed = new Set<string>()

  subscribe(topic: string): void {
    this.subscribed.add(topic)
  }

  unsubscribe(topic: string): void {
    this.subscribed.delete(topic)
  }
}

/** As gossipsub gives it on: it has checked that `author` signed it. */
function signedBy({ peerId, privateKey }: Pick<TestPeer, 'peerId' | 'privateKey'>, data: Uint8Array): Message {
  const { publicKey: key } = privateKey
  return { type: 'signed', from: peerId, topic: PEER_STATE_TOPIC, data, sequenceNumber: 1n, signature: new Uint8Array(64), key }
}

/** With one thing changed after it was signed. */
function changed(message: StateMessage, change: (node: StateMessage['node'], message: StateMessage) => void): StateMessage {
  const copy = structuredClone(message)
  change(copy.node, copy)
  return copy
}

/** With another `message_id`, or none. */
function named(message: { [key: string]: Json }, id: Json | undefined): Json {
  const { message_id: _, ...rest } = message
  return id === undefined ? rest : { ...rest, message_id: id }
}

/** With DEL as a byte. */
function raw(message: Json): Buffer {
  return Buffer.from(dumps(message).replaceAll('\\u007f', '\x7f'))
}

describe('the peer state service', () => {
  let temporary: TemporaryBook
  let book: AddressBook
  let blame: Blame
  let heard: HeartbeatEvent[]
  let self: TestPeer
  let author: TestPeer
  let other: TestPeer
  let sender: TestPeer

  before(async () => {
    ;[self, author, other, sender] = (await newPeers(4)) as [TestPeer, TestPeer, TestPeer, TestPeer]
  })

  beforeEach(async () => {
    temporary = await TemporaryBook.create()
    book = await temporary.open()
    blame = new Blame(() => temporary.clock.nowMs)
    heard = []
  })

  afterEach(async () => temporary.remove())

  function service(overrides: Partial<PeerStateInit> = {}): PeerStateService {
    return new PeerStateService({
      pubsub: new FakePubsub(),
      book,
      blame,
      self: self.peerId,
      log: createLogger('error', () => undefined),
      onHeartbeat: (event) => heard.push(event),
      now: () => temporary.clock.nowMs,
      ...overrides,
    })
  }

  const state = async (init: Partial<StateInit> = {}, of: TestPeer = author): Promise<StateMessage> =>
    stateOf(of, { createdAtMs: temporary.clock.nowMs, multiaddr: ADDRESS, ...init })

  async function receive(states: PeerStateService, message: Json, of: TestPeer = author): Promise<string> {
    return (await states.receive(signedBy(of, encoded(message)), sender.peerId)).result
  }

  it('takes what was recorded in a real network, each at its own time', async () => {
    const states = service()
    for (const { from, data } of recordedStates()) {
      temporary.clock.nowMs = Number(data.created_at_ms)
      const message = { ...signedBy(author, encoded(data)), from: peerIdFromString(from) }
      assert.deepEqual(await states.receive(message, sender.peerId), { result: 'accept' }, String(data.message_id))
      if (data.node != null) {
        const { created_at_ms: createdAtMs, metadata } = data.node.header
        const entry = book.get(peerIdFromString(from))
        assert.equal(entry?.multiaddrs.join(), `${(metadata as { multiaddr: string }).multiaddr}/p2p/${from}`)
        assert.equal(entry?.seq, BigInt(createdAtMs as number))
      }
    }
    assert.equal(book.size, 2)
    assert.equal(states.counts.received, 15)
  })

  it('enters the address of its author as gossip that nobody confirmed, fresh for three times 20 s, and tells of it', async () => {
    assert.equal(await receive(service(), await state()), 'accept')
    const entry = book.get(author.peerId)
    assert.ok(entry != null)
    const { origin, seenAtMs, heartbeatAtMs, intervalMs, bad, verified, envelope } = entry
    assert.deepEqual(
      { origin, state: entry.state, seenAtMs, heartbeatAtMs, intervalMs, bad, verified, envelope },
      {
        origin: 'gossip',
        state: 'online',
        seenAtMs: START_MS,
        heartbeatAtMs: START_MS,
        intervalMs: 20_000,
        bad: false,
        verified: false,
        envelope: undefined,
      },
    )
    const multiaddrs = [`${ADDRESS}/p2p/${author.peerId.toString()}`]
    assert.deepEqual(heard, [{ peerId: author.peerId.toString(), state: 'online', multiaddrs }])
    temporary.clock.nowMs += 60_000
    assert.ok(book.isFresh(entry))
    temporary.clock.nowMs++
    assert.ok(!book.isFresh(entry))
  })

  for (const type of ['secp256k1', 'RSA'] as const) {
    it(`reads states that a key of type ${type} signed`, async () => {
      const peer = await newPeer(type)
      assert.equal(await receive(service(), await state({}, peer), peer), 'accept')
      assert.ok(book.get(peer.peerId) != null)
    })
  }

  it('takes text of every alphabet, nested values, and an address that names its own author', async () => {
    const payload = { name: 'Zoë 𝄞 \u007f\u2028"\\', more: { b: [1, { z: null, a: true }], a: -7 }, ratio: 0.5 }
    const multiaddr = `${ADDRESS}/p2p/${author.peerId.toString()}`
    assert.equal(await receive(service(), await state({ payload, multiaddr })), 'accept')
    assert.equal(book.get(author.peerId)?.multiaddrs.join(), multiaddr)
  })

  it('takes a state with as many parents as a network of 1,700 nodes may give it', async () => {
    const parents = Array.from({ length: 1_700 }, (_, index) => sha256(String(index))).sort()
    assert.equal(await receive(service(), await state({ parents })), 'accept')
    assert.ok(book.get(author.peerId) != null)
  })

  it('follows its author from address to address, and holds one that went for gone', async () => {
    const states = service()
    await receive(states, await state({ state: 1 }))
    assert.equal(book.get(author.peerId)?.state, 'joining')
    temporary.clock.nowMs += 20_000
    await receive(states, await state({ multiaddr: '/ip4/10.0.0.2/tcp/1' }))
    assert.match(String(book.get(author.peerId)?.multiaddrs), /10\.0\.0\.2/)
    temporary.clock.nowMs += 1
    await receive(states, await state({ state: 0 }))
    assert.equal(book.get(author.peerId)?.state, 'offline')
  })

  describe('changes nothing in the book for', () => {
    const cases: Array<{
      name: string
      result: 'accept' | 'ignore' | 'reject'
      message: () => Promise<Json | Buffer>
      by?: () => TestPeer
    }> = [
      {
        name: 'a wrong signature',
        result: 'reject',
        message: async () => changed(await state(), ({ header }) => Object.assign(header, { signature: '00'.repeat(64) })),
      },
      {
        name: 'a signature that is none',
        result: 'reject',
        message: async () => changed(await state(), ({ header }) => Object.assign(header, { signature: 'signed' })),
      },
      { name: 'the state of another author', result: 'reject', by: () => other, message: async () => state() },
      {
        name: 'the state of another author in a message of one’s own',
        result: 'reject',
        by: () => other,
        message: async () => changed(await state(), (_node, message) => Object.assign(message, { peer_id: other.peerId.toString() })),
      },
      {
        name: 'a state that another key signed',
        result: 'reject',
        message: async () => state({ signer: other }),
      },
      {
        name: 'a wrong hash of the header',
        result: 'reject',
        message: async () =>
          changed(await state(), ({ header, body }) =>
            Object.assign(header, { node_id: Object.assign(body, { node_id: sha256('x') }).node_id }),
          ),
      },
      { name: 'a wrong hash of the body', result: 'reject', message: async () => state({ header: { body_hash: sha256('x') } }) },
      { name: 'a wrong size of the body', result: 'reject', message: async () => state({ header: { body_size: 149 } }) },
      {
        name: 'a body of another header',
        result: 'reject',
        message: async () => changed(await state(), ({ body }) => Object.assign(body, { node_id: sha256('x') })),
      },
      {
        name: 'a header that was changed after it was signed',
        result: 'reject',
        message: async () => changed(await state(), ({ header }) => Object.assign(header, { created_at_ms: START_MS + 2 })),
      },
      {
        name: 'an address that was changed after it was signed',
        result: 'reject',
        message: async () =>
          changed(await state(), ({ header, body }) => {
            Object.assign(header.metadata as object, { multiaddr: '/ip4/6.6.6.6/tcp/6' })
            Object.assign(body.payload, { multiaddr: '/ip4/6.6.6.6/tcp/6' })
          }),
      },
      { name: 'two addresses', result: 'ignore', message: async () => state({ metadata: { multiaddr: '/ip4/6.6.6.6/tcp/6' } }) },
      {
        name: 'an address that ends in another peer’s /p2p',
        result: 'ignore',
        message: async () => state({ multiaddr: `${ADDRESS}/p2p/${other.peerId.toString()}` }),
      },
      { name: 'an address that is none', result: 'accept', message: async () => state({ multiaddr: 'somewhere' }) },
      {
        name: 'an address whose peer ID is none',
        result: 'accept',
        message: async () => state({ multiaddr: `${ADDRESS}/p2p/${'z'.repeat(400)}` }),
      },
      { name: 'no address', result: 'accept', message: async () => state({ payload: { multiaddr: null } }) },
      { name: 'an address that nobody dials', result: 'accept', message: async () => state({ multiaddr: '/ip4/0.0.0.0/tcp/1' }) },
      { name: 'the state that it knows', result: 'accept', message: async () => state({ createdAtMs: START_MS - 1 }) },
      { name: 'a state from before that', result: 'accept', message: async () => state({ createdAtMs: START_MS - 2 }) },
      {
        name: 'a state that is an hour old',
        result: 'ignore',
        message: async () => state({ createdAtMs: START_MS - HOUR_MS }),
        by: () => author,
      },
      { name: 'a state from the future', result: 'ignore', message: async () => state({ createdAtMs: START_MS + 60_001 }) },
      { name: 'a state from a time that is none', result: 'ignore', message: async () => state({ createdAtMs: -1 }) },
      { name: 'parents that are not sorted', result: 'reject', message: async () => state({ parents: ['sha256:b', 'sha256:a'] }) },
      { name: 'a parent that is named twice', result: 'reject', message: async () => state({ parents: ['sha256:a', 'sha256:a'] }) },
      { name: 'a header of another namespace', result: 'reject', message: async () => state({ header: { namespace: 'another' } }) },
      { name: 'a later version', result: 'ignore', message: async () => state({ header: { version: 2 } }) },
      { name: 'a header with more in it', result: 'ignore', message: async () => state({ header: { zeal: 1 } }) },
      {
        name: 'a header without an author',
        result: 'ignore',
        message: async () => changed(await state(), ({ header }) => Reflect.deleteProperty(header, 'author')),
      },
      {
        name: 'numbers that Python writes otherwise',
        result: 'ignore',
        message: async () => Buffer.from(dumps(await state()).replaceAll('"epoch":7', '"epoch":7.0')),
      },
      ...['7e2', '1e+22', '0.00001', '-0', '1E400'].map((number) => ({
        name: `a number that Python writes otherwise: ${number}`,
        result: 'ignore' as const,
        message: async () => Buffer.from(dumps(await state()).replaceAll('"epoch":7', `"epoch":${number}`)),
      })),
      {
        name: 'numbers that JavaScript does not hold',
        result: 'ignore',
        message: async () => Buffer.from(dumps(await state()).replaceAll('"epoch":7', '"epoch":18446744073709551615')),
      },
      { name: 'text with spaces', result: 'ignore', message: async () => Buffer.from(JSON.stringify(await state(), undefined, 1)) },
      {
        name: 'a key that is there twice',
        result: 'ignore',
        message: async () => Buffer.from(dumps(await state()).replace('{', '{"a":1,"a":1,')),
      },
      { name: 'an announcement', result: 'accept', message: async () => announcementOf(author, START_MS) },
      { name: 'an announcement of another', result: 'reject', message: async () => announcementOf(other, START_MS) },
      {
        name: 'a message of the DAG sync',
        result: 'ignore',
        message: async () => ({ ...announcementOf(author, START_MS), kind: 'inventory_request' }),
      },
      {
        name: 'a signature in upper case, which Python reads',
        result: 'ignore',
        message: async () =>
          changed(await state(), ({ header }) => Object.assign(header, { signature: String(header.signature).toUpperCase() })),
      },
      {
        name: 'a signature with a space, which Python reads',
        result: 'ignore',
        message: async () => changed(await state(), ({ header }) => Object.assign(header, { signature: ` ${header.signature}` })),
      },
      {
        name: 'a size of the body as text, which Python reads',
        result: 'ignore',
        message: async () => changed(await state(), ({ header }) => Object.assign(header, { body_size: String(header.body_size) })),
      },
      ...['NaN', '-Infinity'].map((number) => ({
        name: `${number}, which Python reads`,
        result: 'ignore' as const,
        message: async () => Buffer.from(dumps(await state()).replace('{', `{"a":${number},`)),
      })),
      {
        name: 'lists in lists, 40 deep',
        result: 'ignore',
        message: async () => state({ payload: { more: JSON.parse('['.repeat(40) + ']'.repeat(40)) } }),
      },
      {
        name: 'DEL as it is, which Python escapes',
        result: 'ignore',
        message: async () => raw(await state({ payload: { name: '\x7f' } })),
      },
      ...['another', 7, null].map((schema) => ({
        name: `the schema ${schema}`,
        result: 'ignore' as const,
        message: async () => state({ header: { schema_id: schema } }),
      })),
      { name: 'a header whose metadata are a number', result: 'ignore', message: async () => state({ header: { metadata: 5 } }) },
      { name: 'another namespace', result: 'ignore', message: async () => state({ namespace: 'another' }) },
      {
        name: 'an announcement of another namespace',
        result: 'ignore',
        message: async () => ({ ...announcementOf(author, START_MS), namespace: 'another' }),
      },
      ...[undefined, 7, null].flatMap((id) => [
        { name: `the message ID ${id}`, result: 'ignore' as const, message: async () => named(await state(), id) },
        {
          name: `an announcement with the message ID ${id}`,
          result: 'ignore' as const,
          message: async () => named(announcementOf(author, START_MS), id),
        },
      ]),
      { name: 'a list', result: 'reject', message: async () => [] },
      { name: 'no JSON', result: 'reject', message: async () => Buffer.from('\xff{') },
      { name: 'nothing', result: 'reject', message: async () => Buffer.alloc(0) },
      { name: '1 MiB', result: 'ignore', message: async () => state({ payload: { more: 'x'.repeat(1 << 20) } }) },
      { name: 'thousands of values', result: 'ignore', message: async () => state({ payload: { more: Array<Json>(8_192).fill(0) } }) },
      { name: 'lists in lists, too many', result: 'reject', message: async () => Buffer.from('['.repeat(40)) },
      { name: 'lists in lists, as many as there is room for', result: 'ignore', message: async () => Buffer.from('['.repeat(131_072)) },
      {
        name: 'objects in objects, as many as there is room for',
        result: 'ignore',
        message: async () => Buffer.from(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`),
      },
    ]

    for (const { name, result, message, by = () => author } of cases) {
      it(`${name} (${result})`, async () => {
        const states = service()
        await receive(states, await state({ createdAtMs: START_MS - 1 }))
        const before = temporary.rows()
        const told = await message()
        const data = Buffer.isBuffer(told) ? told : encoded(told)
        assert.equal((await states.receive(signedBy(by(), data), sender.peerId)).result, result)
        assert.deepEqual(temporary.rows(), before)
      })
    }

    it('a replay after a restart', async () => {
      const [first, second] = [await state({ createdAtMs: START_MS - 2 }), await state({ createdAtMs: START_MS - 1 })]
      await receive(service(), second)
      const before = temporary.rows()
      temporary.clock.nowMs += 500_000
      const restarted = service()
      assert.equal(await receive(restarted, first), 'accept')
      assert.equal(await receive(restarted, second), 'accept')
      assert.deepEqual(temporary.rows(), before)
    })

    it('a state that is an hour old, of a peer that it does not know', async () => {
      assert.equal(await receive(service(), await state({ createdAtMs: START_MS - HOUR_MS })), 'ignore')
      assert.equal(book.size, 0)
    })

    it('a replay after a connection confirmed an address, and a restart', async () => {
      const first = await state({ createdAtMs: START_MS - 500_000, multiaddr: '/ip4/10.0.0.9/tcp/9' })
      await receive(service(), await state({ createdAtMs: START_MS - 1 }))
      await book.put(unsignedEntry(author, { origin: 'neighbour' }))
      const before = temporary.rows()
      assert.equal(await receive(service(), first), 'accept')
      assert.deepEqual(temporary.rows(), before)
    })

    it('a replay of a peer that said goodbye with a heartbeat since', async () => {
      await book.put(await signedEntry(author, 1, { state: 'offline' }))
      const before = temporary.rows()
      assert.equal(await receive(service(), await state({ createdAtMs: START_MS - 500_000 })), 'accept')
      assert.deepEqual(temporary.rows(), before)
    })

    it('the state of a peer whose signed record is fresh', async () => {
      await book.put(await signedEntry(author, 1))
      const before = temporary.rows()
      assert.equal(await receive(service(), await state()), 'accept')
      assert.deepEqual(temporary.rows(), before)
    })

    it('what nobody signed, and its own', async () => {
      const data = encoded(await state({}, self))
      assert.equal((await service().receive({ type: 'unsigned', topic: PEER_STATE_TOPIC, data }, sender.peerId)).result, 'ignore')
      assert.equal(await receive(service(), await state({}, self), self), 'ignore')
      assert.equal(book.size, 0)
    })

    it('an author that is not let in', async () => {
      const states = service({ admits: async (peerId) => !peerId.equals(author.peerId) })
      assert.equal(await receive(states, await state()), 'ignore')
      assert.equal(book.size, 0)
    })
  })

  it('reads no address that is longer than any that is dialled: to read a peer ID takes the square of its length', async () => {
    const long = 'z'.repeat(20_000)
    const cpuMs = async (init: Partial<StateInit>): Promise<number> => {
      const peer = await newPeer()
      const message = signedBy(peer, encoded(await state(init, peer)))
      const states = service()
      const before = process.cpuUsage()
      assert.equal((await states.receive(message, sender.peerId)).result, 'accept')
      const { user, system } = process.cpuUsage(before)
      assert.equal(book.get(peer.peerId)?.multiaddrs.length ?? 0, init.multiaddr == null ? 1 : 0)
      return (user + system) / 1_000
    }
    await cpuMs({ payload: { uid: long } })
    const elsewhere = await cpuMs({ payload: { uid: long } })
    const inAddress = await cpuMs({ multiaddr: `/ip4/10.0.0.1/tcp/1/p2p/${long}` })
    assert.ok(inAddress < 10 * elsewhere + 50, `${inAddress} ms, and ${elsewhere} ms where the text is no address`)
  })

  it('passes on four messages of a kind at once, and one more every 5 s', async () => {
    const states = service()
    const many = async (make: (at: number) => Promise<Json>): Promise<string[]> => {
      const results: string[] = []
      for (let count = 0; count < 6; count++) {
        results.push(await receive(states, await make(temporary.clock.nowMs + count)))
      }
      return results
    }
    const expected = ['accept', 'accept', 'accept', 'accept', 'ignore', 'ignore']
    assert.deepEqual(await many(async (createdAtMs) => state({ createdAtMs })), expected)
    assert.deepEqual(await many(async (createdAtMs) => announcementOf(author, createdAtMs)), expected)
    temporary.clock.nowMs += 5_000
    assert.equal(await receive(states, await state({ createdAtMs: temporary.clock.nowMs + 9 })), 'accept')
    assert.equal(await receive(states, announcementOf(author, temporary.clock.nowMs + 9)), 'accept')
  })

  it('does not let replays use up what an author may tell that is new', async () => {
    const states = service()
    const old = await state({ createdAtMs: START_MS - 1 })
    for (let count = 0; count < 20; count++) {
      await receive(states, old)
    }
    assert.equal(await receive(states, await state()), 'accept')
    assert.equal(book.get(author.peerId)?.seq, BigInt(START_MS))
  })

  it('reads of one author from one peer 32 messages at once, then one a second, whatever they are, and as many from another', async () => {
    const states = service()
    const garbage = signedBy(author, Buffer.from('{'))
    const judge = async (from: TestPeer): Promise<string> => (await states.receive(garbage, from.peerId)).result
    for (let count = 0; count < 32; count++) {
      assert.equal(await judge(sender), 'reject')
    }
    assert.equal(await judge(sender), 'ignore')
    assert.equal(await judge(other), 'reject')
    temporary.clock.nowMs += 1_000
    assert.equal(await judge(sender), 'reject')
    assert.equal(await judge(sender), 'ignore')
  })

  it('passes on 2 MiB at once and 128 KiB a second from one peer, of however many authors, and from another as much', async () => {
    const states = service()
    const authors = await newPeers(40)
    const passedOn = async (from: TestPeer): Promise<number> => {
      let bytes = 0
      for (const peer of authors) {
        const data = encoded(await state({ payload: { more: 'x'.repeat(60_000) } }, peer))
        bytes += (await states.receive(signedBy(peer, data), from.peerId)).result === 'accept' ? data.byteLength : 0
      }
      return bytes
    }
    /** One message more or less. */
    const isAbout = (bytes: number, expected: number): void => assert.ok(Math.abs(bytes - expected) < 130_000, `${bytes} bytes`)
    isAbout(await passedOn(sender), 2 * 1024 * 1024)
    temporary.clock.nowMs += 5_000
    isAbout(await passedOn(sender), 5 * 128 * 1024)
    isAbout(await passedOn(other), 2 * 1024 * 1024)
  })

  it('enters an author that is there itself, whatever the one who passes it on has used up', async () => {
    const [connected, absent] = (await newPeers(2)) as [TestPeer, TestPeer]
    const states = service({ isConnected: (peerId) => peerId.equals(connected.peerId) })
    for (const stranger of await newPeers(40)) {
      await receive(states, await state({}, stranger), stranger)
    }
    assert.equal(book.size, 32)
    for (const [peer, size] of [
      [absent, 32],
      [connected, 33],
      [sender, 34],
    ] as const) {
      assert.equal(await receive(states, await state({}, peer), peer), 'accept')
      assert.equal(book.size, size)
    }
  })

  it('takes the network over which the sender named an address', async () => {
    await receive(service({ namedOver: (peerId) => (peerId.equals(sender.peerId) ? 'private' : 'stranger') }), await state())
    assert.equal(book.get(author.peerId)?.namedOver, 'private')
  })

  it('blames only for what no node of the template publishes, and lets gossipsub ignore it', async () => {
    const pubsub = new FakePubsub()
    service({ pubsub }).start()
    const validate = pubsub.topicValidators.get(PEER_STATE_TOPIC)
    assert.ok(validate != null && pubsub.subscribed.has(PEER_STATE_TOPIC))
    const judge = async (message: Json): Promise<unknown> => validate(sender.peerId, signedBy(author, encoded(message)))
    assert.equal(await judge(await state()), TopicValidatorResult.Accept)
    assert.equal(await judge(await state({ header: { version: 2 } })), TopicValidatorResult.Ignore)
    assert.equal(blame.scoreOf(author.peerId.toString()), 0)
    assert.equal(await judge(await state({ header: { body_size: 1 } })), TopicValidatorResult.Ignore)
    assert.ok(blame.scoreOf(author.peerId.toString()) < 0)
    assert.equal(blame.scoreOf(sender.peerId.toString()), 0)
  })

  it('listens once when it is told to twice, and leaves nothing behind when it stops', () => {
    const pubsub = new FakePubsub()
    const states = service({ pubsub })
    states.start()
    states.start()
    states.stop()
    states.stop()
    assert.deepEqual([...pubsub.subscribed, ...pubsub.topicValidators.keys()], [])
  })

  describe(`among ${STRANGERS} strangers whose states are true`, function () {
    this.timeout(120_000)
    let strangers: TestPeer[]

    before(async () => {
      strangers = await newPeers(STRANGERS)
    })

    async function tell(states: PeerStateService, stranger: TestPeer, from: TestPeer): Promise<void> {
      const message = signedBy(stranger, encoded(await state({}, stranger)))
      assert.equal((await states.receive(message, from.peerId)).result, 'accept')
    }

    it('takes 64 a minute from one peer that passes them on, and no matter whom it knows', async () => {
      const states = service()
      await receive(states, await state())
      for (const [index, stranger] of strangers.entries()) {
        temporary.clock.nowMs = START_MS + Math.floor((index * MINUTES * 60_000) / STRANGERS)
        await tell(states, stranger, sender)
      }
      assert.ok(book.size - 1 <= MINUTES * NEW_AUTHORS_A_MINUTE && book.size > (MINUTES * NEW_AUTHORS_A_MINUTE) / 2, `${book.size} peers`)
      assert.equal(await receive(states, await state()), 'accept')
      assert.equal(book.get(author.peerId)?.seenAtMs, temporary.clock.nowMs)
      const refused = strangers.findLast(({ peerId }) => book.get(peerId) == null)
      assert.ok(refused != null)
      temporary.clock.nowMs += 1
      await tell(states, refused, other)
      assert.ok(book.get(refused.peerId) != null, 'another peer has a share of its own')
    })

    it('keeps to its room, and drops nobody who is alive', async () => {
      book = await temporary.open({ capacity: 100 })
      const living = strangers.slice(0, 50)
      for (const [index, peer] of living.entries()) {
        const entry =
          index % 2 === 0 ? await signedEntry(peer, 1) : unsignedEntry(peer, { origin: 'gossip', heartbeatAtMs: START_MS, verified: false })
        assert.equal(await book.put(entry), 'stored')
      }
      const senders = await newPeers(200)
      const states = service()
      for (const [index, stranger] of strangers.entries()) {
        await tell(states, stranger, senders[index % senders.length] ?? sender)
      }
      assert.equal(book.size, 100)
      assert.ok(living.every(({ peerId }) => book.get(peerId) != null))
    })
  })
})
