import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import {
  type AddressAnswer,
  AddressAnswerSchema,
  type AddressQuery,
  AddressQuerySchema,
  AddressStatus,
} from '../../../../src/gen/subnet/address/v1/address_pb.ts'
import { openPeerRecord } from '../../../../src/gossip/peer-record.ts'
import { ProtocolError } from '../../../../src/protocol/api/errors.ts'
import { type AddressDirectory, AddressProtocol, type KnownRecord } from '../../../../src/protocol/builtin/address.ts'
import type { CallOptions } from '../../../../src/protocol/call/call-options.ts'
import { ProtobufProtocol } from '../../../../src/protocol/protobuf-protocol.ts'
import type { RequestContext } from '../../../../src/protocol/serve/incoming-request.ts'
import { MemoryHost } from '../../../support/memory-network.ts'
import { prefixOf } from '../../../support/streams.ts'

type Query = MessageInitShape<typeof AddressQuerySchema>
type Answer = MessageInitShape<typeof AddressAnswerSchema>

/** A node that answers queries, and what it was asked. */
class Node implements AddressDirectory {
  readonly host: MemoryHost
  readonly addresses: AddressProtocol
  readonly #records = new Map<string, KnownRecord>()
  /** Queries that came here and were looked at. */
  asked = 0

  constructor(host: MemoryHost, now: () => number) {
    this.host = host
    this.addresses = new AddressProtocol(host, this, { now })
  }

  get peerId(): PeerId {
    return this.host.peerId
  }

  async knows(other: MemoryHost, { ageMs = 0, intervalMs = 20_000 } = {}): Promise<void> {
    this.#records.set(other.peerId.toString(), { envelope: await other.record(), ageMs, intervalMs })
  }

  async recordOf(peerId: PeerId): Promise<KnownRecord | undefined> {
    this.asked++
    return this.#records.get(peerId.toString())
  }

  async sequenceOf(envelope: Uint8Array, peerId: PeerId): Promise<bigint | undefined> {
    return openPeerRecord(envelope).then(
      (record) => (record.peerId.equals(peerId) ? record.seq : undefined),
      () => undefined,
    )
  }

  neighbours(): PeerId[] {
    return this.host.neighbours.map(({ peerId }) => peerId)
  }
}

/** A peer that asks and answers as the test says. */
class Rude extends ProtobufProtocol<typeof AddressQuerySchema, typeof AddressAnswerSchema> {
  readonly host: MemoryHost
  readonly #answer: (query: AddressQuery) => Answer | Promise<Answer>
  readonly queries: AddressQuery[] = []
  readonly signals: AbortSignal[] = []

  constructor(host: MemoryHost, answer: (query: AddressQuery) => Answer | Promise<Answer> = () => ({ status: AddressStatus.NOT_FOUND })) {
    super(host, { id: '/subnet/address/1.0.0', request: AddressQuerySchema, response: AddressAnswerSchema })
    this.host = host
    this.#answer = answer
  }

  async ask(node: Node, target: PeerId, query: Query = {}, options?: CallOptions): Promise<AddressAnswer> {
    const peerId = target.toMultihash().bytes
    return this.callRemote(node.peerId, { queryId: randomBytes(16), peerId, hops: 2, deadlineMs: 2_000, ...query }, options)
  }

  protected override async handleRequest({ signal }: RequestContext, query: AddressQuery): Promise<Answer> {
    this.signals.push(signal)
    this.queries.push(query)
    return this.#answer(query)
  }
}

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  assert.ok(signal != null)
  if (!signal.aborted) {
    await once(signal, 'abort')
  }
}

describe('AddressProtocol', () => {
  let nowMs: number
  let target: MemoryHost

  beforeEach(async () => {
    nowMs = 1_000_000
    target = await MemoryHost.create()
  })

  async function node(): Promise<Node> {
    return new Node(await MemoryHost.create(), () => nowMs)
  }

  /** Nodes of which each is connected to the next. */
  async function line(count: number): Promise<Node[]> {
    const nodes = await Promise.all(Array.from({ length: count }, node))
    nodes.forEach((one, index) => {
      const next = nodes[index + 1]
      if (next != null) {
        one.host.link(next.host)
      }
    })
    return nodes
  }

  async function rude(answer?: (query: AddressQuery) => Answer | Promise<Answer>): Promise<Rude> {
    return new Rude(await MemoryHost.create(), answer)
  }

  /** A node, someone who asks it, and its other neighbours. */
  async function crossing(...others: Rude[]): Promise<{ asker: Rude; crossed: Node }> {
    const [asker, crossed] = await Promise.all([rude(), node()])
    crossed.host.link(asker.host, ...others.map(({ host }) => host))
    return { asker, crossed }
  }

  async function found(hops = 1): Promise<Answer> {
    return { status: AddressStatus.FOUND, signedPeerRecord: await target.record(), hops }
  }

  it('answers with the record it has, its age and its interval', async () => {
    const [a, b] = (await line(2)) as [Node, Node]
    await b.knows(target, { ageMs: 1_234.4, intervalMs: 5_000 })
    const answer = await a.addresses.ask(b.peerId, target.peerId)
    assert.deepEqual(answer, { envelope: await target.record(), ageMs: 1_234, intervalMs: 5_000, hops: 1, seq: 1n })
  })

  it('answers with its own record when it is asked about itself, and asks nobody', async () => {
    const [a, b, c] = (await line(3)) as [Node, Node, Node]
    await b.knows(b.host)
    const answer = await a.addresses.ask(b.peerId, b.peerId)
    assert.deepEqual(answer?.envelope, await b.host.record())
    assert.equal(c.asked, 0)
  })

  it('says when it does not know, and fails when the neighbour is not connected', async () => {
    const [a, b, c] = (await line(3)) as [Node, Node, Node]
    assert.equal(await a.addresses.ask(b.peerId, target.peerId), undefined)
    await assert.rejects(
      a.addresses.ask(c.peerId, target.peerId),
      (error) => error instanceof ProtocolError && error.code === 'UNREACHABLE',
    )
  })

  it('asks on, as many hops as the query allows and never more than three', async () => {
    const known: unknown[] = []
    const stranger = (await MemoryHost.create()).peerId
    for (const hops of [1, 2, 3, 4, 200]) {
      const nodes = (await line(6)) as [Node, Node, Node, Node, Node, Node]
      await nodes[3].knows(target)
      const near = await nodes[0].addresses.ask(nodes[1].peerId, target.peerId, { hops })
      const far = await nodes[1].addresses.ask(nodes[2].peerId, stranger, { hops })
      known.push([hops, near?.hops, far, nodes.map(({ asked }) => asked).join(' ')])
    }
    assert.deepEqual(known, [
      [1, undefined, undefined, '0 1 1 0 0 0'],
      [2, undefined, undefined, '0 1 2 1 0 0'],
      [3, 3, undefined, '0 1 2 2 1 0'],
      [4, 3, undefined, '0 1 2 2 1 0'],
      [200, 3, undefined, '0 1 2 2 1 0'],
    ])
  })

  it('asks neither who asked nor the peer that is looked for', async () => {
    const wanted = await rude()
    const { asker, crossed } = await crossing(wanted)
    assert.equal((await asker.ask(crossed, wanted.host.peerId)).status, AddressStatus.NOT_FOUND)
    assert.deepEqual([asker.queries.length, wanted.queries.length], [0, 0])
  })

  it('asks on with one hop less, and less time than it was given itself', async () => {
    const other = await rude()
    const { asker, crossed } = await crossing(other)
    const queryId = randomBytes(16)
    await asker.ask(crossed, target.peerId, { queryId, hops: 3, deadlineMs: 1_500 })
    const [query] = other.queries
    assert.deepEqual(
      [Buffer.from(query?.queryId ?? []), query?.hops, query?.deadlineMs, Buffer.from(query?.peerId ?? [])],
      [queryId, 2, 1_400, Buffer.from(target.peerId.toMultihash().bytes)],
    )
  })

  it('asks at most eight others, the first of those that its node names', async () => {
    const others = await Promise.all(Array.from({ length: 12 }, async () => rude()))
    const { asker, crossed } = await crossing(...others)
    await asker.ask(crossed, target.peerId)
    assert.deepEqual(
      others.map(({ queries }) => queries.length),
      [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    )
  })

  it('answers in time though a neighbour that it asked never does', async () => {
    const { asker, crossed } = await crossing(await rude(async () => new Promise<never>(() => undefined)))
    assert.equal((await asker.ask(crossed, target.peerId, { deadlineMs: 300 }, { timeoutMs: 10_000 })).status, AddressStatus.NOT_FOUND)
  })

  it('gives the first answer that comes, and tells the others to stop', async () => {
    const never = await rude(async () => new Promise<never>(() => undefined))
    const { asker, crossed } = await crossing(never, await rude(async () => found()))
    const answer = await asker.ask(crossed, target.peerId, { deadlineMs: 10_000 })
    assert.deepEqual([answer.status, answer.hops, answer.signedPeerRecord], [AddressStatus.FOUND, 2, await target.record()])
    await aborted(never.signals[0])
  }).timeout(5_000)

  it('passes on the newest record of those that come together, not the first', async () => {
    const old = await rude(async () => ({ status: AddressStatus.FOUND, signedPeerRecord: await target.record(1n), hops: 1 }))
    const current = await rude(async () => {
      // comes after the other
      await new Promise((resolve) => setTimeout(resolve, 30))
      return { status: AddressStatus.FOUND, signedPeerRecord: await target.record(2n), hops: 1 }
    })
    const { asker, crossed } = await crossing(old, current)
    const { signedPeerRecord } = await asker.ask(crossed, target.peerId)
    assert.equal((await openPeerRecord(signedPeerRecord)).seq, 2n)
  })

  it('looks at a query once: the same one again, and one of its own that comes back, is refused', async () => {
    const other = await rude()
    const { asker, crossed } = await crossing(other)
    const queryId = randomBytes(16)
    assert.equal((await asker.ask(crossed, target.peerId, { queryId })).status, AddressStatus.NOT_FOUND)
    nowMs += 10_000
    assert.equal((await asker.ask(crossed, target.peerId, { queryId })).status, AddressStatus.REFUSED)
    assert.equal(other.queries.length, 1)
    const back = await rude(async (query) => {
      const { status } = await back.ask(origin, target.peerId, { queryId: query.queryId })
      assert.equal(status, AddressStatus.REFUSED)
      return { status: AddressStatus.NOT_FOUND }
    })
    const origin = await node()
    origin.host.link(other.host, back.host)
    assert.equal(await origin.addresses.ask(back.host.peerId, target.peerId), undefined)
    assert.equal(back.queries.length, 1)
    assert.equal(other.queries.length, 1)
  })

  it('goes round a ring of nodes once', async () => {
    const nodes = await line(3)
    const [a, b, c] = nodes as [Node, Node, Node]
    c.host.link(a.host)
    assert.equal(await a.addresses.ask(b.peerId, target.peerId, { hops: 3 }), undefined)
    assert.deepEqual(
      nodes.map(({ asked }) => asked),
      [1, 1, 1],
    )
  })

  it('answers ten queries a second of one peer, and any number of peers', async () => {
    const { asker, crossed } = await crossing()
    const other = await rude()
    crossed.host.link(other.host)
    await crossed.knows(target)
    const statuses = async (who: Rude, count: number): Promise<AddressStatus[]> => {
      const answers: AddressStatus[] = []
      for (let asked = 0; asked < count; asked++) {
        answers.push((await who.ask(crossed, target.peerId)).status)
      }
      return answers
    }
    const { FOUND, REFUSED } = AddressStatus
    assert.deepEqual(await statuses(asker, 12), [...Array(10).fill(FOUND), REFUSED, REFUSED])
    assert.deepEqual(await statuses(other, 1), [FOUND])
    nowMs += 200
    assert.deepEqual(await statuses(asker, 3), [FOUND, FOUND, REFUSED])
    nowMs += 60_000
    assert.deepEqual(await statuses(asker, 11), [...Array(10).fill(FOUND), REFUSED])
  })

  describe('that remembers for five seconds what nobody knew', () => {
    it('asks nobody again meanwhile, but gives what it learned itself', async () => {
      const other = await rude()
      const { asker, crossed } = await crossing(other)
      for (const [waitMs, asked] of [
        [0, 1],
        [4_900, 1],
        [200, 2],
      ] as const) {
        nowMs += waitMs
        assert.equal((await asker.ask(crossed, target.peerId)).status, AddressStatus.NOT_FOUND)
        assert.equal(other.queries.length, asked)
      }
      await crossed.knows(target)
      assert.equal((await asker.ask(crossed, target.peerId)).status, AddressStatus.FOUND)
    })

    it('asks again for a query that may go further than the one before', async () => {
      const other = await rude(async ({ hops }) => (hops === 2 ? found() : { status: AddressStatus.NOT_FOUND }))
      const { asker, crossed } = await crossing(other)
      assert.equal((await asker.ask(crossed, target.peerId, { hops: 2 })).status, AddressStatus.NOT_FOUND)
      assert.equal((await asker.ask(crossed, target.peerId, { hops: 3 })).status, AddressStatus.FOUND)
    })

    it('asks again when somebody refused to answer, and says so to its own node', async () => {
      const answers = [{ status: AddressStatus.REFUSED }, await found(), { status: AddressStatus.REFUSED }]
      const other = await rude(() => answers.shift() as Answer)
      const { asker, crossed } = await crossing(other)
      assert.equal((await asker.ask(crossed, target.peerId)).status, AddressStatus.NOT_FOUND)
      assert.equal((await asker.ask(crossed, target.peerId)).status, AddressStatus.FOUND)
      await assert.rejects(crossed.addresses.ask(other.host.peerId, target.peerId), (error) => {
        return error instanceof ProtocolError && error.code === 'LIMIT_EXCEEDED'
      })
    })

    it('asks again when the one who asked gave up, or gave no time for it', async () => {
      const asked = Promise.withResolvers<void>()
      const answers = [new Promise<never>(() => undefined), new Promise<never>(() => undefined), found()]
      const other = await rude(async () => {
        asked.resolve()
        return answers.shift() as Promise<Answer>
      })
      const { asker, crossed } = await crossing(other)
      const controller = new AbortController()
      const call = asker.ask(crossed, target.peerId, { deadlineMs: 10_000 }, { signal: controller.signal })
      await asked.promise
      controller.abort(new Error('enough'))
      await assert.rejects(call, /enough/)
      await aborted(other.signals[0])
      assert.equal((await asker.ask(crossed, target.peerId, { deadlineMs: 200 })).status, AddressStatus.NOT_FOUND)
      assert.equal((await asker.ask(crossed, target.peerId, { deadlineMs: 0 })).status, AddressStatus.NOT_FOUND)
      assert.equal((await asker.ask(crossed, target.peerId)).status, AddressStatus.FOUND)
      assert.equal(other.queries.length, 3)
    }).timeout(5_000)
  })

  describe('that does not believe its neighbours', () => {
    const LIES: Record<string, () => Promise<Answer>> = {
      'a record of another peer': async () => ({ ...(await found()), signedPeerRecord: await (await MemoryHost.create()).record() }),
      'a record with another signature': async () => {
        const signedPeerRecord = await target.record()
        const last = signedPeerRecord.byteLength - 1
        signedPeerRecord[last] = (signedPeerRecord[last] ?? 0) ^ 1
        return { ...(await found()), signedPeerRecord }
      },
      'bytes that are no record': async () => ({ ...(await found()), signedPeerRecord: randomBytes(100) }),
      'no record at all': async () => ({ status: AddressStatus.FOUND }),
      'a record, but not that it found one': async () => ({ ...(await found()), status: AddressStatus.UNSPECIFIED }),
      'a status that there is not': async () => ({ ...(await found()), status: 77 as AddressStatus }),
    }

    for (const [what, lie] of Object.entries(LIES)) {
      it(`takes ${what} for no answer, and passes on that of another who tells the truth`, async () => {
        const liar = await rude(lie)
        const asker = await node()
        asker.host.link(liar.host)
        assert.equal(await asker.addresses.ask(liar.host.peerId, target.peerId), undefined)

        const { asker: passing, crossed } = await crossing(liar)
        assert.equal((await passing.ask(crossed, target.peerId)).status, AddressStatus.NOT_FOUND)

        const both = await crossing(liar, await rude(async () => found()))
        const answer = await both.asker.ask(both.crossed, target.peerId)
        assert.deepEqual([answer.status, answer.signedPeerRecord], [AddressStatus.FOUND, await target.record()])
      })
    }

    it('passes a true record on, whatever the numbers beside it', async () => {
      const absurd = { hops: 2 ** 32 - 1, ageMs: 2n ** 64n - 1n, intervalMs: 2 ** 32 - 1 }
      const { asker, crossed } = await crossing(await rude(async () => ({ ...(await found()), ...absurd })))
      const answer = await asker.ask(crossed, target.peerId)
      assert.deepEqual([answer.status, answer.signedPeerRecord], [AddressStatus.FOUND, await target.record()])
      const direct = await node()
      direct.host.link(crossed.host)
      assert.equal((await direct.addresses.ask(crossed.peerId, target.peerId))?.ageMs, Number.MAX_SAFE_INTEGER)
    })
  })

  const MALFORMED: Record<string, Query> = {
    'no query id': { queryId: new Uint8Array() },
    'a query id of 15 bytes': { queryId: randomBytes(15) },
    'a query id of 17 bytes': { queryId: randomBytes(17) },
    'no peer id': { peerId: new Uint8Array() },
    'a peer id that is none': { peerId: Buffer.from('12D3KooW') },
    'no hops': { hops: 0 },
  }

  for (const [what, query] of Object.entries(MALFORMED)) {
    it(`resets the stream of a query with ${what}, and asks nobody`, async () => {
      const other = await rude()
      const { asker, crossed } = await crossing(other)
      await assert.rejects(asker.ask(crossed, target.peerId, query), (error) => {
        assert.ok(error instanceof ProtocolError)
        assert.equal(error.code, 'REMOTE_FAILED')
        assert.match(error.message, /ended the call/)
        return true
      })
      assert.deepEqual([crossed.asked, other.queries.length], [0, 0])
    })
  }

  it('resets the stream of a query that is announced to be larger than 8 KiB', async () => {
    const { asker, crossed } = await crossing()
    const stream = await asker.host.open(crossed.host, asker.id)
    const end = once(stream, 'close')
    stream.send(prefixOf(8 * 1024 + 1))
    await end
    assert.equal(stream.status, 'reset')
  })
})
