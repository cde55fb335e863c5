import assert from 'node:assert/strict'
import { setTimeout, setImmediate as turn } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { SubnetError } from '../../../src/primitives/errors.ts'
import { ResolveError } from '../../../src/resolve/errors.ts'
import { type Judge, type Resolution, type ResolveOptions, Resolver, type ResolverMemory } from '../../../src/resolve/resolver.ts'
import { type Candidate, type FindOptions, TIER_NAMES, type Tier, type TierName } from '../../../src/resolve/tier.ts'
import { type AskPeer, NeighboursTier } from '../../../src/resolve/tiers/neighbours.ts'
import { newPeer, newPeers } from '../../support/keys.ts'
import { candidate, portsOf } from './candidates.ts'

type Find = (peerId: PeerId, signal: AbortSignal, prolong: NonNullable<FindOptions['prolong']>) => AsyncIterable<Candidate>

/** A tier that does what it is told, and counts. */
class FakeTier implements Tier {
  readonly name: TierName
  readonly order: number
  readonly silence: Tier['silence']
  readonly needsDial = true
  readonly budgetMs: number
  readonly #find: Find
  readonly signals: AbortSignal[] = []
  ended = 0

  constructor(name: TierName, find: Find, budgetMs = 60_000) {
    this.name = name
    this.order = TIER_NAMES.indexOf(name) * 100
    this.silence = name === 'chain' ? 'unknown' : undefined
    this.budgetMs = budgetMs
    this.#find = find
  }

  lastResort(): Candidate | undefined {
    return this.name === 'gossip' ? memory.resort : undefined
  }

  get asked(): number {
    return this.signals.length
  }

  async *find(peerId: PeerId, { signal, prolong = () => undefined }: FindOptions): AsyncGenerator<Candidate> {
    this.signals.push(signal)
    try {
      yield* this.#find(peerId, signal, prolong)
    } finally {
      this.ended++
    }
  }
}

/** Gives nothing until its time is up. */
async function* untilAborted(_peerId: PeerId, signal: AbortSignal): AsyncGenerator<Candidate> {
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  yield* []
}

/** Gives nothing, and says why it stopped: its time was up. */
async function* failingWhenAborted(peerId: PeerId, signal: AbortSignal): AsyncGenerator<Candidate> {
  yield* untilAborted(peerId, signal)
  throw signal.reason
}

class ChainDown extends SubnetError {
  readonly code = 'CHAIN_UNAVAILABLE'
}

class FakeMemory implements ResolverMemory {
  readonly refutations: Candidate[] = []
  resort: Candidate | undefined
  broken = false
  hint?: () => string | undefined
  refusal?: () => { message: string; hint: string | undefined } | undefined

  async refuted(_peerId: PeerId, refuted: Candidate): Promise<void> {
    this.refutations.push(refuted)
    if (this.broken) {
      throw new Error('the book cannot be written')
    }
  }
}

let memory: FakeMemory

const many = (first: number, count: number): number[] => Array.from({ length: count }, (_, index) => first + index)

describe('the resolver', () => {
  let peerId: PeerId
  let dialled: number[][]
  let reachable: Set<number>

  before(async () => {
    peerId = (await newPeer()).peerId
  })

  beforeEach(() => {
    memory = new FakeMemory()
    dialled = []
    reachable = new Set()
  })

  /** Dials: a port is reachable or it is not. */
  const dial: Judge<number> = async (multiaddrs) => {
    const ports = portsOf({ multiaddrs })
    dialled.push(ports)
    const found = ports.find((port) => reachable.has(port))
    if (found == null) {
      throw new Error(ports.map((port) => `${port} refused`).join(', '))
    }
    return found
  }

  const answering = (name: TierName, ...answers: Candidate[]): FakeTier =>
    new FakeTier(name, async function* () {
      yield* answers
    })
  const at = (name: TierName, ports: number[], overrides: Partial<Candidate> = {}): Candidate => candidate(peerId, name, ports, overrides)
  const failing = (name: TierName, error: unknown): FakeTier =>
    new FakeTier(name, async function* () {
      yield* []
      throw error
    })

  async function resolve(tiers: Tier[], options: ResolveOptions = {}): Promise<Resolution<number>> {
    return new Resolver(tiers, memory).resolve(peerId, 'connect', dial, options)
  }

  async function failure(tiers: Tier[], options: ResolveOptions = {}): Promise<ResolveError> {
    const error = await resolve(tiers, options).then(
      () => assert.fail('it resolved'),
      (thrown) => thrown,
    )
    assert.ok(error instanceof ResolveError, String(error))
    return error
  }

  const outcomes = ({ attempts }: Pick<ResolveError, 'attempts'>): string[] => attempts.map(({ tier, outcome }) => `${tier} ${outcome}`)

  describe('asks', () => {
    it('the nearest tier first, and skips the rest when its answer can be dialled', async () => {
      reachable.add(1)
      const tiers = [answering('gossip', at('gossip', [1])), answering('neighbour', at('neighbour', [2])), answering('chain')]
      const found = await resolve(tiers)
      assert.equal(found.value, 1)
      assert.equal(found.candidate.source, 'gossip')
      assert.deepEqual(outcomes(found), ['gossip hit', 'neighbour skipped', 'chain skipped'])
      assert.deepEqual(
        tiers.map(({ asked }) => asked),
        [1, 0, 0],
      )
      assert.equal(tiers[0]?.ended, 1)
      assert.ok(found.attempts.every(({ ms, detail }) => ms >= 0 && detail.length > 0))
      assert.deepEqual(memory.refutations, [])
    })

    it('the chain only after every nearer tier came back empty', async () => {
      reachable.add(3)
      const order: string[] = []
      const empty = (name: TierName): FakeTier =>
        new FakeTier(name, async function* () {
          order.push(`${name} asked`)
          await turn()
          order.push(`${name} ended`)
          yield* []
        })
      const chain = new FakeTier('chain', async function* () {
        order.push('chain asked')
        yield at('chain', [3])
      })
      const found = await resolve([empty('gossip'), empty('neighbour'), chain])
      assert.deepEqual(order, ['gossip asked', 'gossip ended', 'neighbour asked', 'neighbour ended', 'chain asked'])
      assert.deepEqual(outcomes(found), ['gossip miss', 'neighbour miss', 'chain hit'])
    })

    it('the next tier when one’s time is up', async () => {
      reachable.add(3)
      const slow = new FakeTier('neighbour', untilAborted, 20)
      const found = await resolve([answering('gossip'), slow, answering('chain', at('chain', [3]))])
      assert.deepEqual(outcomes(found), ['gossip miss', 'neighbour timeout', 'chain hit'])
      assert.equal(found.attempts[1]?.detail, 'no answer within 20 ms')
      assert.equal(slow.ended, 1)
    })

    it('a tier for longer that finds that what it asks is only slow', async () => {
      reachable.add(3)
      const slow = new FakeTier(
        'neighbour',
        async function* (_peerId, signal, prolong) {
          prolong(60_000)
          // longer than its budget
          await setTimeout(20)
          assert.equal(signal.aborted, false)
          yield at('neighbour', [3])
        },
        10,
      )
      assert.deepEqual(outcomes(await resolve([slow, answering('chain')])), ['neighbour hit', 'chain skipped'])
    })

    it('the next tier when one gives up with the reason its time was up', async () => {
      reachable.add(3)
      const slow = new FakeTier('neighbour', failingWhenAborted, 20)
      assert.deepEqual(outcomes(await resolve([slow, answering('chain', at('chain', [3]))])), ['neighbour timeout', 'chain hit'])
    })

    it('the next tier when one fails, also with a time limit of its own', async () => {
      reachable.add(3)
      const chain = answering('chain', at('chain', [3]))
      for (const error of [new Error('out of order'), new DOMException('its own', 'TimeoutError'), 'a text']) {
        const found = await resolve([failing('gossip', error), chain])
        assert.deepEqual(outcomes(found), ['gossip error', 'chain hit'])
        assert.equal(found.attempts[0]?.detail, error instanceof Error ? error.message : String(error))
      }
    })

    it('only the tiers it is told to', async () => {
      reachable.add(2)
      const tiers = [answering('gossip', at('gossip', [1])), answering('neighbour', at('neighbour', [2])), answering('chain')]
      memory.resort = at('gossip', [7])
      const found = await resolve(tiers, { tiers: ['neighbour'] })
      assert.equal(found.candidate.source, 'neighbour')
      assert.deepEqual(outcomes(found), ['gossip skipped', 'neighbour hit', 'chain skipped'])
      const error = await failure(tiers, { tiers: ['chain'] })
      assert.equal(error.code, 'PEER_NOT_FOUND')
      assert.deepEqual(outcomes(error), ['gossip skipped', 'neighbour skipped', 'chain miss'])
      assert.deepEqual(dialled, [[2]], 'a stale entry of the book is gossip too')
    })
  })

  describe('tries', () => {
    it('the next answer of the same tier, then the next tier, when no address of an answer can be dialled', async () => {
      reachable.add(5)
      const neighbours = answering('neighbour', at('neighbour', [2, 3]), at('neighbour', [4]))
      const found = await resolve([answering('gossip', at('gossip', [1])), neighbours, answering('chain', at('chain', [5]))])
      assert.deepEqual(dialled, [[1], [2, 3], [4], [5]])
      assert.deepEqual(outcomes(found), ['gossip error', 'neighbour error', 'chain hit'])
      assert.equal(found.attempts[1]?.detail, '2 refused, 3 refused; 4 refused')
      assert.deepEqual(memory.refutations.map(portsOf), [[1], [2, 3], [4]])
    })

    it('a good answer after a bad one of the same tier: that is a hit, and the trace tells of both', async () => {
      reachable.add(2)
      const found = await resolve([answering('neighbour', at('neighbour', [1]), at('neighbour', [2]), at('neighbour', [3]))])
      assert.equal(found.value, 2)
      assert.deepEqual(outcomes(found), ['neighbour hit'])
      assert.equal(found.attempts[0]?.detail, 'neighbour 2; 1 refused')
    })

    it('an unsigned answer only by dialling it: it counts once it was judged', async () => {
      const walked = at('neighbour', [6], { verified: false, seq: 0n })
      const confirm: Judge<number | undefined> = async (multiaddrs, found, signal, more) =>
        found.verified ? undefined : dial(multiaddrs, found, signal, more)
      const resolver = new Resolver([answering('neighbour', walked), answering('chain', at('chain', [5]))], memory)
      assert.equal((await resolver.resolve(peerId, 'resolve', confirm)).candidate.source, 'chain')
      assert.deepEqual(dialled, [[6]])
      reachable.add(6)
      const confirmed = await resolver.resolve(peerId, 'resolve', confirm)
      assert.equal(confirmed.candidate.source, 'neighbour')
      assert.equal(confirmed.value, 6)
    })

    it('no address twice, in one resolution', async () => {
      const again = at('neighbour', [1, 2])
      const error = await failure([answering('gossip', at('gossip', [1])), answering('neighbour', again, again), answering('chain', again)])
      assert.deepEqual(dialled, [[1], [2]])
      assert.equal(error.attempts[1]?.detail, '2 refused; the same addresses again')
      assert.equal(error.attempts[2]?.detail, 'the same addresses again')
      const resolver = new Resolver([answering('gossip', at('gossip', [1]))], memory)
      await assert.rejects(resolver.resolve(peerId, 'connect', dial))
      await assert.rejects(resolver.resolve(peerId, 'connect', dial))
      assert.equal(dialled.length, 4, 'the next resolution starts anew')
    })

    it('16 addresses at most, and holds an answer for refuted only when all of it was tried', async () => {
      reachable.add(99)
      const tiers = [
        answering('gossip', at('gossip', many(1, 8))),
        answering('neighbour', at('neighbour', many(21, 9))),
        answering('chain', at('chain', many(41, 16))),
      ]
      memory.resort = at('gossip', [99])
      const error = await failure(tiers)
      assert.deepEqual(
        dialled.map(({ length }) => length),
        [8, 4, 4],
      )
      assert.equal(error.code, 'UNREACHABLE')
      assert.match(error.attempts[3]?.detail ?? '', /16 addresses failed: no more are dialled/)
      assert.deepEqual(
        memory.refutations.map(({ source }) => source),
        ['gossip'],
      )
    })

    it('those first that everybody can dial, where not all are dialled', async () => {
      const hosts = ['127.0.0.1', '10.0.0.7', '172.17.0.1', '172.18.0.1', '192.168.0.7', '45.79.0.1']
      const multiaddrs = hosts.map((host) => multiaddr(`/ip4/${host}/tcp/1/p2p/${peerId.toString()}`))
      let tried: string[] = []
      const note: Judge<void> = async (given) => {
        tried = given.map((address) => address.getComponents()[0]?.value ?? '')
      }
      const walked = at('neighbour', [], { multiaddrs, verified: false, seq: 0n })
      await new Resolver([answering('neighbour', walked)], memory).resolve(peerId, 'connect', note)
      assert.deepEqual(tried, ['45.79.0.1', '10.0.0.7', '172.17.0.1', '172.18.0.1'])
    })

    it('some addresses of the later tiers, however many the earlier ones gave', async () => {
      reachable.add(99)
      const tiers = [
        answering('gossip', at('gossip', many(1, 16))),
        answering('neighbour', at('neighbour', many(21, 16)), at('neighbour', many(61, 16))),
        answering('chain', at('chain', [99])),
      ]
      const found = await new Resolver(tiers, memory).resolve(peerId, 'connect', dial)
      assert.equal(found.candidate.source, 'chain')
    })

    it('four addresses of an answer that nobody signed', async () => {
      const error = await failure([answering('neighbour', at('neighbour', many(1, 16), { verified: false, seq: 0n }))])
      assert.equal(error.code, 'UNREACHABLE')
      assert.equal(dialled.flat().length, 4)
    })

    it('a stale entry of the book last, after the chain, by dialling it', async () => {
      reachable.add(7)
      memory.resort = at('gossip', [7], { ageMs: 3_600_000, detail: 'stale' })
      const judged: boolean[] = []
      const judge: Judge<number> = async (multiaddrs, found, signal, more) => {
        judged.push(found.verified)
        return dial(multiaddrs, found, signal, more)
      }
      const tiers = [answering('gossip'), answering('neighbour'), answering('chain', at('chain', [5]))]
      const found = await new Resolver(tiers, memory).resolve(peerId, 'connect', judge)
      assert.deepEqual(dialled, [[5], [7]])
      assert.deepEqual(judged, [true, false], 'a stale answer has to be confirmed')
      assert.deepEqual(outcomes(found), ['gossip miss', 'neighbour miss', 'chain error', 'gossip hit'])
    })

    it('a stale entry only with what was not tried before, and tells when that fails too', async () => {
      memory.resort = at('gossip', [1, 7], { detail: 'stale' })
      const error = await failure([answering('gossip'), answering('chain', at('chain', [1]))])
      assert.deepEqual(dialled, [[1], [7]])
      assert.deepEqual(outcomes(error), ['gossip miss', 'chain error', 'gossip error'])
      assert.equal(error.attempts[2]?.detail, 'stale; 7 refused')
      memory.resort = at('gossip', [1])
      assert.deepEqual(outcomes(await failure([answering('gossip'), answering('chain', at('chain', [1]))])), ['gossip miss', 'chain error'])
    })

    it('no answer that is older than wanted, from whichever tier', async () => {
      reachable.add(1).add(2).add(3).add(7)
      const old = { ageMs: 5_000 }
      memory.resort = at('gossip', [7], old)
      const tiers = [answering('gossip', at('gossip', [1], old)), answering('neighbour', at('neighbour', [2], old))]
      const error = await failure(tiers, { maxAgeMs: 4_999 })
      assert.equal(error.code, 'PEER_NOT_FOUND')
      assert.deepEqual(outcomes(error), ['gossip miss', 'neighbour miss'])
      assert.match(error.attempts[0]?.detail ?? '', /5000 ms old/)
      assert.equal((await resolve(tiers, { maxAgeMs: 5_000 })).value, 1)
      const young = answering('neighbour', at('neighbour', [2], old), at('neighbour', [3], { ageMs: 10 }))
      assert.equal((await resolve([young], { maxAgeMs: 100 })).value, 3)
      const unknown = answering('chain', at('chain', [3], { ageMs: undefined }))
      assert.equal((await resolve([unknown], { maxAgeMs: 100 })).value, 3)
    })

    it('on though the book cannot note what failed', async () => {
      memory.broken = true
      memory.resort = at('gossip', [7])
      const error = await failure([answering('gossip', at('gossip', [1])), answering('chain', at('chain', [5]))])
      assert.equal(error.code, 'UNREACHABLE')
      assert.deepEqual(outcomes(error), ['gossip error', 'chain error', 'gossip error'])
      reachable.add(5)
      assert.equal((await resolve([answering('gossip', at('gossip', [1])), answering('chain', at('chain', [5]))])).value, 5)
    })

    it('the newest record of all neighbours’ answers, though one answers with an old one', async () => {
      reachable.add(2)
      const [old, current] = (await newPeers(2)).map((each) => each.peerId)
      const network: AskPeer = {
        async *neighbours() {
          yield* [old, current].filter((each) => each != null)
        },
        ask: async (neighbour) => (old?.equals(neighbour) === true ? at('neighbour', [1], { seq: 1n }) : at('neighbour', [2], { seq: 2n })),
        walk: async () => undefined,
      }
      const found = await resolve([new NeighboursTier(network)])
      assert.equal(found.value, 2)
      assert.equal(found.candidate.seq, 2n)
    })
  })

  describe('fails', () => {
    it('with PEER_NOT_FOUND when nobody knows the peer, and says what each tier came back with', async () => {
      const error = await failure([answering('gossip'), failing('neighbour', new Error('nobody answers')), answering('chain')])
      assert.equal(error.code, 'PEER_NOT_FOUND')
      assert.deepEqual(outcomes(error), ['gossip miss', 'neighbour error', 'chain miss'])
      assert.match(error.message, /gossip: miss \(not known\), neighbour: error \(nobody answers\), chain: miss \(not known\)/)
      assert.ok(error.message.includes(peerId.toString()))
      assert.match(error.hint ?? '', /--bootstrap/)
    })

    it('with UNREACHABLE when there were addresses, whatever else went wrong', async () => {
      const down = failing('chain', new ChainDown('no connection'))
      const error = await failure([answering('gossip', at('gossip', [1])), down])
      assert.equal(error.code, 'UNREACHABLE')
      assert.match(error.message, /1 refused/)
      assert.match(String((error.cause as Error).message), /1 refused/)
      assert.deepEqual(outcomes(error), ['gossip error', 'chain error'])
    })

    it('with NOT_ADMITTED at once when the peer itself says no: no other tier is asked, and its address is not held for refuted', async () => {
      const refusing: Judge<number> = async (multiaddrs) => {
        dialled.push(portsOf({ multiaddrs }))
        throw Object.assign(new Error('not admitted'), { hint: 'register', weight: 9, verdict: 'NOT_ADMITTED' })
      }
      const tiers = [
        answering('gossip', at('gossip', [1]), at('gossip', [2])),
        answering('neighbour', at('neighbour', [3])),
        answering('chain'),
      ]
      memory.resort = at('gossip', [4])
      const error = await new Resolver(tiers, memory).resolve(peerId, 'connect', refusing).catch((thrown) => thrown)
      assert.deepEqual([error.code, error.hint], ['NOT_ADMITTED', 'register'])
      assert.deepEqual(dialled, [[1]])
      assert.deepEqual(outcomes(error), ['gossip error', 'neighbour skipped', 'chain skipped'])
      assert.deepEqual(memory.refutations, [])
    })

    it('with NOT_ADMITTED only after the other tiers where the peer did not sign the address: another one may have cut the connection', async () => {
      const refusing: Judge<number> = async (multiaddrs, ...rest) => {
        const ports = portsOf({ multiaddrs })
        if (!ports.includes(1)) {
          return dial(multiaddrs, ...rest)
        }
        throw Object.assign(new Error('not admitted'), { hint: 'register', weight: 9, verdict: 'NOT_ADMITTED' })
      }
      const tiers = (...ports: number[]): FakeTier[] => [
        answering('gossip'),
        answering('neighbour', at('neighbour', [1], { verified: false })),
        answering('chain', at('chain', ports)),
      ]
      reachable.add(2)
      assert.equal((await new Resolver(tiers(2), memory).resolve(peerId, 'connect', refusing)).value, 2)
      const error = await new Resolver(tiers(3), memory).resolve(peerId, 'connect', refusing).catch((thrown) => thrown)
      assert.deepEqual([error.code, error.hint], ['NOT_ADMITTED', 'register'])
      assert.deepEqual(outcomes(error), ['gossip miss', 'neighbour error', 'chain error'])
    })

    it('with NOT_ADMITTED when nobody knows the peer, and those who could be asked do not let this node in', async () => {
      memory.refusal = () => ({ message: 'the bootstrap refuses', hint: 'register' })
      const error = await failure([answering('gossip'), answering('neighbour'), answering('chain')])
      assert.deepEqual([error.code, error.hint], ['NOT_ADMITTED', 'register'])
      assert.match(error.message, /nobody could be asked: the bootstrap refuses/)
    })

    it('with what this node knows to do about it when nobody knows the peer', async () => {
      memory.hint = () => 'look elsewhere'
      assert.equal((await failure([answering('gossip')])).hint, 'look elsewhere')
    })

    it('with CHAIN_UNAVAILABLE when the chain could not be asked and nobody nearer knew', async () => {
      const error = await failure([answering('gossip'), failing('chain', new ChainDown('no connection', { hint: 'start it' }))])
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.equal(error.hint, 'start it')
      assert.deepEqual(outcomes(error), ['gossip miss', 'chain error'])
      const late = await failure([answering('gossip'), new FakeTier('chain', failingWhenAborted, 20)])
      assert.equal(late.code, 'CHAIN_UNAVAILABLE')
      assert.deepEqual(outcomes(late), ['gossip miss', 'chain timeout'])
    })

    it('tells of the answers that could not be dialled before the tier itself failed', async () => {
      const tier = new FakeTier('neighbour', async function* () {
        yield at('neighbour', [1])
        throw new Error('then it broke')
      })
      const error = await failure([tier])
      assert.equal(error.attempts[0]?.detail, '1 refused; then it broke')
    })

    it('at once with the caller’s reason when the caller gives up, in a tier or while dialling', async () => {
      const reason = new Error('changed my mind')
      const later = answering('chain', at('chain', [1]))
      const giveUp = new AbortController()
      const slow = new FakeTier('gossip', untilAborted)
      const waiting = resolve([slow, later], { signal: giveUp.signal })
      giveUp.abort(reason)
      await assert.rejects(waiting, (error) => error === reason)
      await assert.rejects(resolve([later], { signal: AbortSignal.abort(reason) }), (error) => error === reason)
      await turn()
      assert.equal(slow.ended, 1)
      assert.equal(later.asked, 0)

      const dialling = new AbortController()
      const untilGivenUp: Judge<never> = async (_multiaddrs, _candidate, signal) =>
        new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(new Error('the dial was aborted'))))
      const hanging = new Resolver([answering('gossip', at('gossip', [1]))], memory).resolve(peerId, 'connect', untilGivenUp, dialling)
      await turn()
      dialling.abort(reason)
      await assert.rejects(hanging, (error) => error === reason)
      await turn()
      assert.deepEqual(memory.refutations, [], 'nothing was proved against the addresses')
    })
  })

  describe('with a stranger’s tier', () => {
    /** Beside the built-in ones, of which it knows nothing. */
    const stranger = (init: Partial<Tier>): Tier => ({
      name: 'phone-book',
      order: 150,
      budgetMs: 60_000,
      find: async function* () {
        yield* []
      },
      ...init,
    })

    it('asks it where its order says, however the tiers were passed', async () => {
      reachable.add(2)
      const tiers = [answering('chain'), stranger({ order: 300.5 }), stranger({ name: 'first', order: -1 }), answering('gossip')]
      const error = await failure(tiers)
      assert.deepEqual(outcomes(error), ['first miss', 'gossip miss', 'chain miss', 'phone-book miss'])
      const find: Tier['find'] = async function* () {
        yield at('gossip', [2])
      }
      const found = await resolve([answering('chain'), stranger({ find })])
      assert.deepEqual(outcomes(found), ['phone-book hit', 'chain skipped'])
    })

    it('asks it alone where it alone is chosen, and refuses a name that no tier has', async () => {
      const tiers = [answering('gossip'), stranger({}), answering('chain')]
      assert.deepEqual(outcomes(await failure(tiers, { tiers: ['phone-book'] })), ['gossip skipped', 'phone-book miss', 'chain skipped'])
      await assert.rejects(resolve(tiers, { tiers: ['phonebook'] }), { code: 'USAGE', message: /gossip, phone-book, chain/ })
    })

    it('refuses a name that another tier has, or another source of addresses', () => {
      for (const name of ['chain', 'given', 'connected']) {
        assert.throws(() => new Resolver([answering('chain'), stranger({ name })], memory), { code: 'USAGE' }, name)
      }
    })

    it('takes one that fails for one that does not know the peer, unless it says that its silence means more', async () => {
      const find: Tier['find'] = async function* () {
        yield* []
        throw new Error('the line is dead')
      }
      assert.equal((await failure([stranger({ find })])).code, 'PEER_NOT_FOUND')
      const error = await failure([stranger({ find, silence: 'unknown' })])
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.match(error.message, /the phone-book could not be asked/)
    })

    it('gives dials to search with only to one that needs them', async () => {
      const taken: boolean[] = []
      const find: Tier['find'] = async function* (_peerId, { mayDial }) {
        taken.push(mayDial?.() === true)
        yield* []
      }
      await failure([stranger({ find }), stranger({ name: 'walk', needsDial: true, find })])
      assert.deepEqual(taken, [false, true])
    })

    it('tries its last resort after all answers, and only where it is asked at all', async () => {
      reachable.add(7)
      const old = at('gossip', [7], { source: 'phone-book', detail: 'an old edition' })
      const tiers = [stranger({ lastResort: () => old }), answering('chain', at('chain', [5]))]
      const found = await resolve(tiers)
      assert.deepEqual(dialled, [[5], [7]])
      assert.deepEqual(outcomes(found), ['phone-book miss', 'chain error', 'phone-book hit'])
      assert.equal(found.candidate.source, 'phone-book')
      assert.equal((await failure(tiers, { tiers: ['chain'] })).code, 'UNREACHABLE')
    })
  })

  describe('asked by many at once', () => {
    let release: PromiseWithResolvers<void>
    let tier: FakeTier
    let resolver: Resolver

    beforeEach(() => {
      reachable.add(1)
      release = Promise.withResolvers()
      tier = new FakeTier('gossip', async function* (_peerId, signal) {
        const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        await Promise.race([release.promise, aborted])
        yield at('gossip', [1])
      })
      resolver = new Resolver([tier], memory)
    })

    const ask = async (options: ResolveOptions = {}, of = peerId, purpose = 'connect'): Promise<Resolution<number>> =>
      resolver.resolve(of, purpose, dial, options)

    it('makes one query of 50 resolutions of one peer', async () => {
      const asked = Array.from({ length: 50 }, async (_, index) => ask(index % 2 === 0 ? {} : { signal: new AbortController().signal }))
      release.resolve()
      const found = await Promise.all(asked)
      assert.equal(tier.asked, 1)
      assert.deepEqual(dialled, [[1]])
      assert.ok(found.every(({ value, attempts }) => value === 1 && attempts.length === 1))
      await ask()
      assert.equal(tier.asked, 2, 'the next one asks again')
    })

    it('gives all of them the same failure', async () => {
      reachable.clear()
      const asked = await Promise.allSettled([
        ...Array.from({ length: 5 }, async () => ask()),
        Promise.resolve().then(() => release.resolve()),
      ])
      const reasons = asked.slice(0, 5).map((each) => (each.status === 'rejected' ? each.reason.code : each.status))
      assert.deepEqual(reasons, Array(5).fill('UNREACHABLE'))
      assert.equal(tier.asked, 1)
    })

    it('goes on for the others when one of them gives up, the first one too', async () => {
      const reason = new Error('changed my mind')
      const [first, third] = [new AbortController(), new AbortController()]
      const asked = [ask({ signal: first.signal }), ask({}), ask({ signal: third.signal })] as const
      first.abort(reason)
      third.abort(reason)
      await assert.rejects(asked[0], (error) => error === reason)
      await assert.rejects(asked[2], (error) => error === reason)
      release.resolve()
      assert.equal((await asked[1]).value, 1)
      assert.equal(tier.asked, 1)
    })

    it('stops asking when all of them gave up', async () => {
      const controllers = Array.from({ length: 3 }, () => new AbortController())
      const asked = Promise.allSettled(controllers.map(async ({ signal }) => ask({ signal })))
      controllers[0]?.abort()
      controllers[1]?.abort()
      await turn()
      assert.equal(tier.signals[0]?.aborted, false)
      controllers[2]?.abort()
      assert.ok((await asked).every(({ status }) => status === 'rejected'))
      await turn()
      assert.equal(tier.signals[0]?.aborted, true)
      assert.equal(tier.ended, 1)
    })

    it('starts anew for who comes in the moment the others have given up', async () => {
      const giveUp = new AbortController()
      const given = assert.rejects(ask({ signal: giveUp.signal }), { name: 'AbortError' })
      giveUp.abort()
      const next = ask()
      release.resolve()
      await given
      assert.equal((await next).value, 1)
      assert.equal(tier.asked, 2)
    })

    it('answers who comes in the moment the others were answered', async () => {
      release.resolve()
      const first = ask()
      let steps = 0
      const late: Array<Promise<Resolution<number>>> = []
      const follow = async (): Promise<void> => {
        // one more in every turn of the microtask queue, until well after the first has its answer
        for (; steps < 200; steps++) {
          await Promise.resolve()
          late.push(ask())
        }
      }
      await Promise.all([first, follow()])
      assert.ok((await Promise.all(late)).every(({ value }) => value === 1))
    })

    it('keeps apart what is not the same question', async () => {
      const other = (await newPeer()).peerId
      release.resolve()
      await Promise.all([ask(), ask({ tiers: ['gossip'] }), ask({ maxAgeMs: 5 }), ask({}, other), ask({}, peerId, 'resolve')])
      assert.equal(tier.asked, 5)
    })

    it('leaves no listener at the callers’ signals, and no rejection unhandled', async () => {
      const unhandled: unknown[] = []
      const onUnhandled = (error: unknown): unknown => unhandled.push(error)
      process.on('unhandledRejection', onUnhandled)
      const { signal } = new AbortController()
      let listeners = 0
      const { addEventListener, removeEventListener } = signal
      signal.addEventListener = (...parameters: unknown[]) => {
        listeners++
        Reflect.apply(addEventListener, signal, parameters)
      }
      signal.removeEventListener = (...parameters: unknown[]) => {
        listeners--
        Reflect.apply(removeEventListener, signal, parameters)
      }
      const giveUp = new AbortController()
      const asked = [ask({ signal }), ask({ signal: giveUp.signal })]
      assert.ok(listeners > 0)
      giveUp.abort()
      release.resolve()
      await Promise.allSettled(asked)
      reachable.clear()
      await assert.rejects(ask({ signal }))
      await turn()
      await turn()
      process.off('unhandledRejection', onUnhandled)
      assert.equal(listeners, 0)
      assert.deepEqual(unhandled, [])
    })
  })
})
