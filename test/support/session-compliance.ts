import assert from 'node:assert/strict'
import { NODE_CLASSES, type NodeClass } from '../../src/chain/registry.ts'
import type { ErrorCode } from '../../src/primitives/errors.ts'
import { SubnetError } from '../../src/primitives/errors.ts'
import type { PeerRow, Session, TaskAnswer } from '../../src/session/session.ts'

/** What a session under test is connected to. */
export interface SessionWorld {
  session: Session
  /** Connected to the session's node, or its bootstrap: an echo that rejects the payload `no`, and never answers `wait`. */
  peerId: string
  multiaddr: string
  /** True where the session's node runs on, and other processes may drive it. */
  runs: boolean
  /** Resolves once the peer's handler has given up the task `wait`. */
  cancelled(): Promise<void>
}

const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

export function bytes(text: string): AsyncIterable<Uint8Array> {
  return chunks([Buffer.from(text)])
}

export async function* chunks(parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

export async function textOf(answer: TaskAnswer): Promise<string> {
  return Buffer.concat(await Array.fromAsync(answer.result)).toString()
}

/** Expects a failure of this code. */
export async function fails(work: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<SubnetError> {
  const error = await work.then(
    () => assert.fail(`no ${code}`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof SubnetError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return error
}

/** What every session must do: commands cannot tell one from another. */
export function sessionCompliance(name: string, open: () => Promise<SessionWorld>): void {
  describe(`a session ${name}`, function () {
    this.timeout(60_000)
    let world: SessionWorld
    let session: Session

    before(async () => {
      world = await open()
      session = world.session
    })

    it('says who the node is', async () => {
      const { peerId, multiaddrs } = await session.id()
      assert.match(peerId, /^12D3Koo/)
      assert.equal(multiaddrs.length > 0, world.runs)
    })

    it('lists peers, every field there', async () => {
      const row = (await session.peers({ timeoutMs: 20_000 })).find(({ peerId }) => peerId === world.peerId) as PeerRow
      assert.deepEqual(Object.keys(row), [
        'peerId',
        'alias',
        'connected',
        'direction',
        'latencyMs',
        'agent',
        'protocols',
        'multiaddrs',
        'source',
        'lastHeartbeatMs',
      ])
      assert.equal(row.alias, null)
      assert.equal(row.connected, true)
      assert.equal(row.direction, 'outbound')
      assert.deepEqual(row.multiaddrs, [world.multiaddr])
    })

    it('resolves, and tells how', async () => {
      const found = await session.resolve(world.peerId, { timeoutMs: 20_000 })
      assert.deepEqual(found.multiaddrs, [world.multiaddr])
      assert.equal(found.verified, true)
      assert.deepEqual(Object.keys(found), ['peerId', 'multiaddrs', 'source', 'ageMs', 'verified', 'attempts'])
      const given = await session.resolve(world.multiaddr)
      assert.deepEqual({ source: given.source, ageMs: given.ageMs }, { source: 'given', ageMs: 0 })
    })

    it('sends a task in pieces and gives the result', async () => {
      const payload = chunks([Buffer.from('a'), Buffer.alloc(600_000, 'b'), Buffer.from('c')])
      const answer = await session.sendTask(world.peerId, { taskId: 'pieces', payload }, { timeoutMs: 20_000 })
      const { result: _, attempts, timings, multiaddr, ...rest } = answer
      assert.deepEqual(rest, {
        taskId: 'pieces',
        peerId: world.peerId,
        source: 'connected',
        accepted: true,
        error: null,
        bytesSent: 600_002,
        bytesReceived: 600_002,
      })
      assert.equal(attempts.length, 3)
      assert.deepEqual(Object.keys(timings), ['resolveMs', 'dialMs', 'requestMs', 'totalMs'])
      assert.equal(multiaddr, world.multiaddr)
      assert.equal(await textOf(answer), `a${'b'.repeat(600_000)}c`)
    })

    it('gives an empty result, and a rejection with its reason', async () => {
      const empty = await session.sendTask(world.peerId, { taskId: 'empty', payload: bytes('') })
      assert.equal(await textOf(empty), '')
      const rejected = await session.sendTask(world.peerId, { taskId: 'no', payload: bytes('no') })
      assert.equal(rejected.accepted, false)
      assert.deepEqual(rejected.error, { code: 'TASK_REJECTED', message: 'I will not' })
    })

    it('carries many tasks at once', async () => {
      const texts = Array.from({ length: 50 }, (_, index) => `task ${index}`)
      const answers = await Promise.all(
        texts.map(async (text) => textOf(await session.sendTask(world.peerId, { taskId: text, payload: bytes(text) }))),
      )
      assert.deepEqual(answers, texts)
    })

    it('fails with the code, the words and the attempts of the failure', async () => {
      await fails(session.sendTask('bob', { taskId: 't', payload: bytes('') }), 'USAGE', /not a peer: "bob"/)
      await fails(session.sendTask(world.peerId, { taskId: 'a\nb', payload: bytes('') }), 'USAGE', /task id/)
      const lost = await fails(session.resolve(STRANGER, { timeoutMs: 20_000 }), 'PEER_NOT_FOUND', /gossip/)
      const { attempts } = lost as unknown as { attempts: object[] }
      assert.deepEqual(
        attempts.map((attempt) => Object.keys(attempt)),
        Array(3).fill(['tier', 'outcome', 'ms', 'detail']),
      )
      await fails(session.connect(`/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}`), 'UNREACHABLE', /127\.0\.0\.1/)
      const big = chunks(Array.from({ length: 5 }, () => Buffer.alloc(1 << 20)))
      const limit = await fails(session.sendTask(world.peerId, { taskId: 't', payload: big }), 'LIMIT_EXCEEDED', /4194304 bytes/)
      assert.match(limit.hint ?? '', /--max-frame-bytes/)
      await fails(session.chain.lookup(STRANGER), 'PEER_NOT_FOUND', /the chain has no address/)
    })

    it('throws what the payload threw, not what came of it', async () => {
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        throw new Error('the disk is gone')
      }
      await assert.rejects(session.sendTask(world.peerId, { taskId: 't', payload: broken() }), { message: 'the disk is gone' })
    })

    it('does not read a payload for a peer that is none', async () => {
      let asked = false
      const payload = async function* (): AsyncGenerator<Uint8Array> {
        asked = true
        yield Buffer.from('x')
      }
      await fails(session.sendTask('nobody-at-all', { taskId: 't', payload: payload() }), 'USAGE', /not a peer/)
      assert.ok(world.runs || !asked)
    })

    it('ends a call in time, and says in which step', async () => {
      await fails(
        session.sendTask(world.peerId, { taskId: 'slow', payload: bytes('wait') }, { timeoutMs: 300 }),
        'TIMEOUT',
        /step "wait"; the peer may have acted/,
      )
      await world.cancelled()
      const never = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        await new Promise(() => undefined)
      }
      await fails(
        session.sendTask(world.peerId, { taskId: 't', payload: never() }, { timeoutMs: 300 }),
        'TIMEOUT',
        /payload did not come to its end in time; nothing was sent/,
      )
    })

    it('ends a call that is given up, at the peer too', async () => {
      const enough = new AbortController()
      const payload = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('wait')
        setTimeout(() => enough.abort(new Error('had enough')), 200)
      }
      const sending = session.sendTask(world.peerId, { taskId: 'slow', payload: payload() }, { signal: enough.signal, timeoutMs: 30_000 })
      await assert.rejects(sending)
      await world.cancelled()
      await assert.rejects(session.peers({ signal: AbortSignal.abort(new Error('had enough')) }).then(() => assert.ok(false, 'not ended')))
    })

    it('pings', async () => {
      const { roundTripMs, ...rest } = await session.ping(world.peerId)
      assert.ok(roundTripMs >= 0)
      assert.deepEqual(rest, { peerId: world.peerId, source: 'connected', multiaddr: world.multiaddr })
    })

    it('keeps names for peers, and takes them for peers', async () => {
      assert.deepEqual(await session.aliases.set('bob', world.multiaddr), { alias: 'bob', peerId: world.peerId })
      assert.deepEqual(await session.aliases.list(), [{ alias: 'bob', peerId: world.peerId }])
      assert.equal((await session.ping('bob')).peerId, world.peerId)
      assert.equal((await session.peers()).find(({ peerId }) => peerId === world.peerId)?.alias, 'bob')
      await fails(session.aliases.set('no way', world.peerId), 'USAGE', /not a name/)
      assert.deepEqual(await session.aliases.remove('bob'), { alias: 'bob', removed: true })
      assert.deepEqual(await session.aliases.remove('bob'), { alias: 'bob', removed: false })
      await fails(session.ping('bob'), 'USAGE', /not a peer: "bob"/)
    })

    it('drives the chain', async () => {
      const { peerId } = await session.id()
      const published = await session.chain.publish(['/ip4/127.0.0.1/tcp/4001'])
      assert.deepEqual(published.multiaddrs, [`/ip4/127.0.0.1/tcp/4001/p2p/${peerId}`])
      assert.deepEqual(await session.chain.lookup(peerId), published)
      assert.deepEqual(await session.chain.list(), [published])
      assert.deepEqual(await session.chain.remove(), { peerId, removed: true })
      assert.deepEqual(await session.chain.remove(), { peerId, removed: false })
      await fails(session.chain.publish(['nonsense']), 'USAGE', /not a multiaddr/)
    })

    it('enters the subnet, and leaves it', async () => {
      const { peerId } = await session.id()
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
      for (const nodeClass of NODE_CLASSES) {
        const { block, ...rest } = await session.chain.register(nodeClass)
        assert.deepEqual(rest, { peerId, registered: true, class: nodeClass })
        assert.ok(block > 0)
      }
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: true })
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
      await fails(session.chain.register('none' as string as NodeClass), 'USAGE', /class/)
      const reason = new Error('changed my mind')
      await assert.rejects(session.chain.register('idle', { signal: AbortSignal.abort(reason) }), reason)
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
    })

    it('shows peers as they come and go', async () => {
      const enough = new AbortController()
      const states = session.watchPeers({ signal: enough.signal })[Symbol.asyncIterator]()
      const until = async (connected: boolean): Promise<void> => {
        let there: boolean | undefined
        while (there !== connected) {
          const { value } = await states.next()
          there = (value as PeerRow[]).some(({ peerId }) => peerId === world.peerId)
        }
      }
      await until(true)
      if (world.runs) {
        await session.disconnect(world.peerId)
        await until(false)
        await session.connect(world.multiaddr)
        await until(true)
      }
      enough.abort(new Error('seen'))
      await assert.rejects(async () => {
        for (;;) {
          await states.next()
        }
      })
    })

    it('knows the state of a node that runs, and no other', async () => {
      if (!world.runs) {
        assert.equal(await session.settings(), undefined)
        await fails(session.status(), 'NOT_RUNNING', /no node runs in/)
        await fails(session.stop(), 'NOT_RUNNING', /no node runs in/)
        await fails(session.disconnect(world.peerId), 'NOT_RUNNING', /no node runs in/)
        await fails(session.chain.publish([]), 'NOT_RUNNING', /no running node/)
        return
      }
      const status = await session.status()
      assert.deepEqual({ healthy: status.healthy, problems: status.problems }, { healthy: true, problems: [] })
      assert.deepEqual(status.multiaddrs, (await session.id()).multiaddrs)
      assert.deepEqual(status.connections, { inbound: 0, outbound: 1 })
      assert.equal(status.pid, process.pid)
      assert.ok(status.tasks.sentAccepted >= 52 && status.tasks.sentRejected === 1 && status.tasks.sentFailed >= 4, JSON.stringify(status))
      assert.ok(status.heartbeats.sent > 0 && status.uptimeMs > 0)
      const { url, block, lagMs, ...chain } = status.chain
      assert.deepEqual(chain, { reachable: true, error: null, endpoint: url.replace('ledger:', '') })
      assert.ok(block != null && block > 0 && lagMs != null && lagMs >= 0 && lagMs < 60_000)
      assert.equal((await session.settings())?.subnetId, status.subnetId)
    })
  })
}
