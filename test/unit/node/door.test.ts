import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import type { Registration } from '../../../src/chain/registry.ts'
import { Door, type DoorInit } from '../../../src/node/admission/door.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeers, type TestPeer } from '../../support/keys.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** A chain that says what the test wants, and counts how often it is asked. */
class TestRegistry {
  readonly registered = new Set<string>()
  asked = 0
  /** Questions that run now, and ran at a time at most. */
  running = 0
  most = 0
  away = false
  /** When the chain said what it says; now unless given. */
  readAtMs: number | undefined
  hold: Promise<void> | undefined
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  async isRegistered(peerId: PeerId): Promise<Registration> {
    this.asked++
    this.running++
    this.most = Math.max(this.most, this.running)
    await this.hold
    this.running--
    if (this.away) {
      throw new Error('no chain')
    }
    const readAtMs = this.readAtMs ?? this.#now()
    return { peerId, registered: this.registered.has(peerId.toString()), block: 1, stale: this.readAtMs != null, readAtMs }
  }
}

describe('the door of a node', () => {
  let nowMs: number
  let registry: TestRegistry
  let member: TestPeer
  let stranger: TestPeer

  beforeEach(async () => {
    nowMs = 1_700_000_000_000
    registry = new TestRegistry(() => nowMs)
    ;[member, stranger] = (await newPeers(2)) as [TestPeer, TestPeer]
    registry.registered.add(member.peerId.toString())
  })

  function door(init: Partial<DoorInit> = {}): Door {
    const log = createLogger('silent', () => undefined)
    return new Door({ registry, subnetId: 7, minClass: 'registered', onError: 'deny', exempt: [], log, now: () => nowMs, ...init })
  }

  it('lets nobody in who was not asked of the chain', () => {
    assert.match(door().refusalOf(member.peerId) ?? '', /not asked/)
  })

  it('lets in whom the chain knows, and says of others why not', async () => {
    const here = door({ minClass: 'validator' })
    assert.deepEqual(await here.check(member.peerId), { admitted: true })
    assert.equal(here.refusalOf(member.peerId), undefined)
    const reason = `${stranger.peerId.toString()} is not registered in subnet 7 as validator or more`
    assert.deepEqual(await here.check(stranger.peerId), { admitted: false, kind: 'not registered', reason })
    assert.equal(here.refusalOf(stranger.peerId), reason)
  })

  it('remembers a yes for five minutes and a no for thirty seconds', async () => {
    const here = door()
    await here.check(member.peerId)
    await here.check(stranger.peerId)
    registry.registered.clear()
    registry.registered.add(stranger.peerId.toString())
    nowMs += 29_000
    assert.equal((await here.check(stranger.peerId)).admitted, false)
    nowMs += 2_000
    assert.equal((await here.check(stranger.peerId)).admitted, true)
    assert.equal((await here.check(member.peerId)).admitted, true)
    nowMs += 5 * MINUTE_MS
    assert.equal((await here.check(member.peerId)).admitted, false)
  })

  it('asks once about a peer that knocks many times at once', async () => {
    const here = door()
    await Promise.all(Array.from({ length: 50 }, async () => here.check(member.peerId)))
    assert.equal(registry.asked, 1)
  })

  it('asks again about those of whom something changed, and until then says what it knew', async () => {
    const here = door()
    await here.check(member.peerId)
    registry.registered.clear()
    here.expire([member.peerId])
    assert.equal(here.refusalOf(member.peerId), undefined)
    assert.equal((await here.check(member.peerId)).admitted, false)
    assert.notEqual(here.refusalOf(member.peerId), undefined)
  })

  it('lets exceptions in without asking', async () => {
    const here = door({ exempt: [stranger.peerId.toString()] })
    assert.equal(here.refusalOf(stranger.peerId), undefined)
    assert.deepEqual(await here.check(stranger.peerId), { admitted: true })
    assert.equal(registry.asked, 0)
  })

  describe('while the chain is away', () => {
    it('keeps strangers out, and those it knew in for an hour after the last yes', async () => {
      const here = door()
      await here.check(member.peerId)
      registry.away = true
      assert.equal((await here.check(stranger.peerId)).admitted, false)
      const reason = `whether ${stranger.peerId.toString()} is registered cannot be found out now: try again later`
      assert.equal(here.refusalOf(stranger.peerId), reason)
      nowMs += HOUR_MS - MINUTE_MS
      assert.equal((await here.check(member.peerId)).admitted, true)
      nowMs += 2 * MINUTE_MS
      assert.equal((await here.check(member.peerId)).admitted, false)
    })

    it('lets strangers in where it was told to, not those of whom it knows that they are none', async () => {
      const here = door({ onError: 'allow' })
      await here.check(stranger.peerId)
      registry.away = true
      assert.equal((await here.check(stranger.peerId)).admitted, false)
      assert.equal((await here.check(member.peerId)).admitted, true)
      assert.equal(here.refusalOf(member.peerId), undefined)
    })

    it('tells its own log what is wrong with the chain, once, and the strangers nothing of it', async () => {
      const lines: string[] = []
      const here = door({ log: createLogger('info', (line) => lines.push(line.trimEnd())) })
      registry.away = true
      for (const { peerId } of await newPeers(3)) {
        await here.check(peerId)
        assert.doesNotMatch(here.refusalOf(peerId) ?? '', /no chain/)
      }
      registry.away = false
      nowMs += 6_000
      await here.check(stranger.peerId)
      assert.equal(lines.length, 2)
      assert.match(lines[0] ?? '', /^warn: cannot check the registration of \S+ and other peers: no chain$/)
      assert.equal(lines[1], 'info: registrations of peers can be checked again')
    })

    it('asks again soon, not each time', async () => {
      const here = door()
      registry.away = true
      await here.check(member.peerId)
      await here.check(member.peerId)
      assert.equal(registry.asked, 1)
      registry.away = false
      nowMs += 6_000
      assert.equal((await here.check(member.peerId)).admitted, true)
    })

    it('takes a yes that the chain said long ago for none', async () => {
      registry.readAtMs = nowMs - HOUR_MS
      assert.equal((await door().check(member.peerId)).admitted, false)
      registry.readAtMs = nowMs - HOUR_MS + MINUTE_MS
      assert.equal((await door().check(member.peerId)).admitted, true)
    })
  })

  it('asks the chain a bounded number of times however many strangers knock, and still lets a member in', async () => {
    const here = door()
    await here.check(member.peerId)
    const crowd = await newPeers(300)
    const verdicts = await Promise.all(crowd.map(async ({ peerId }) => here.check(peerId)))
    assert.ok(verdicts.every(({ admitted }) => !admitted))
    assert.ok(registry.asked <= 1 + 64, `${registry.asked} questions`)
    assert.ok(registry.most <= 4, `${registry.most} at a time`)
    nowMs += 6 * MINUTE_MS
    registry.hold = new Promise(() => undefined)
    void Promise.all(crowd.map(async ({ peerId }) => here.check(peerId)))
    registry.hold = undefined
    assert.deepEqual(await here.check(member.peerId), { admitted: true })
  })

  it('lets who asks give up; the question goes on for others', async () => {
    const here = door()
    const release = Promise.withResolvers<void>()
    registry.hold = release.promise
    const reason = new Error('enough')
    const controller = new AbortController()
    const given = here.check(member.peerId, controller.signal)
    const other = here.check(member.peerId)
    controller.abort(reason)
    await assert.rejects(given, (error) => error === reason)
    release.resolve()
    assert.deepEqual(await other, { admitted: true })
  })
})
