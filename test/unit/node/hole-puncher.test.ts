import assert from 'node:assert/strict'
import type { Connection, PeerId, Stream, StreamHandler } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream, streamPair } from '@libp2p/utils'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DialFailure, type DialFailureKind } from '../../../src/node/dial/dial-failure.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { hasPassingAddress } from '../../../src/node/dial/passing-address.ts'
import { HOLE_PUNCH_PROTOCOL_ID, type HolePunchStream, holePunchStream } from '../../../src/node/direct/hole-punch-stream.ts'
import { HolePuncher, type HolePuncherInit } from '../../../src/node/direct/hole-puncher.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { strangerId } from '../../support/keys.ts'
import { eventually } from '../../support/protocol-host.ts'

const RELAY = '/ip4/45.79.0.9/tcp/1/p2p-circuit'
const OWN = multiaddr('/ip4/45.79.0.1/tcp/40001')
const THEIRS = '/ip4/45.79.0.2/tcp/40002'

interface Dialled {
  address: string
  localPort: number
  initiator: boolean
}

describe('hole punching', () => {
  /** Never aborts: a timeout would run from when this file is loaded. */
  const { signal } = new AbortController()
  let handler: StreamHandler
  let dialled: Dialled[]
  /** How each dial fails in turn; those behind it succeed. */
  let failures: DialFailureKind[]
  let isKept: boolean
  let direct: PeerId[]
  let released: number
  let nowMs: number
  let puncher: HolePuncher

  beforeEach(() => {
    ;[dialled, failures, direct, isKept, released, nowMs] = [[], [], [], true, 0, 0]
    const dial = async (address: Multiaddr, options: object): Promise<Connection> => {
      const { localPort, initiator } = options as Dialled
      dialled.push({ address: address.toString(), localPort, initiator })
      const failure = failures.shift()
      if (failure != null) {
        throw new DialFailure(failure, 'not connected')
      }
      return { remotePeer: peerIdFromString(address.toString().split('/p2p/')[1] ?? ''), remoteAddr: address } as Connection
    }
    puncher = new HolePuncher({
      libp2p: {
        handle: async (_: string, given: StreamHandler) => {
          handler = given
        },
      } as unknown as HolePuncherInit['libp2p'],
      transports: { dial } as HolePuncherInit['transports'],
      ports: { open: async () => ({ localPort: 40001, mapped: OWN, isKept, release: () => released++ }) },
      policy: new DialPolicy({ networkInterfaces: () => ({}) }),
      admits: () => true,
      isDirect: (peerId) => direct.includes(peerId),
      log: createLogger('silent', () => undefined),
      now: () => nowMs,
    })
    puncher.start()
  })

  afterEach(() => puncher.stop())

  const stranger = (): PeerId => peerIdFromString(strangerId().peerId)

  function relayed(peer: PeerId, direction: 'inbound' | 'outbound'): Connection {
    return { remotePeer: peer, remoteAddr: multiaddr(`${RELAY}/p2p/${peer.toString()}`), direction, status: 'open' } as Connection
  }

  /** A stream that a peer opens. */
  async function asked(connection: Connection): Promise<{ theirs: HolePunchStream; stream: Stream; own: Stream }> {
    const [own, stream] = await streamPair({ protocol: HOLE_PUNCH_PROTOCOL_ID })
    void handler(own, connection)
    return { theirs: holePunchStream(stream), stream, own }
  }

  /** A whole conversation, as the specification has it. */
  async function ask(connection: Connection, named = [THEIRS]): Promise<Multiaddr[]> {
    const { theirs } = await asked(connection)
    await theirs.sendConnect(
      named.map((address) => multiaddr(address)),
      signal,
    )
    const addresses = await theirs.readConnect(signal)
    await theirs.sendSync(signal)
    return addresses
  }

  describe('of a node that called', () => {
    it('tells where its router sends from, and dials from there once it is told to, as the one that begins', async () => {
      const peer = stranger()
      assert.deepEqual((await ask(relayed(peer, 'outbound'))).map(String), [OWN.toString()])
      await eventually(() => dialled.length === 1 && released === 1, 'it dials, and lets go of its port')
      assert.deepEqual(dialled, [{ address: `${THEIRS}/p2p/${peer.toString()}`, localPort: 40001, initiator: true }])
    })

    it('dials two addresses at most, and only TCP ones that a stranger may name', async () => {
      const peer = stranger()
      const others = ['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1', '/dns4/victim.test/tcp/1', '/ip4/45.79.0.2/udp/1/quic-v1', RELAY]
      await ask(relayed(peer, 'outbound'), [...others, THEIRS, '/ip4/45.79.0.3/tcp/1', '/ip4/45.79.0.4/tcp/1'])
      await eventually(() => dialled.length > 0, 'it dials')
      assert.deepEqual(
        dialled.map(({ address }) => address.split('/p2p/')[0]),
        [THEIRS, '/ip4/45.79.0.3/tcp/1'],
      )
    })

    it('answers nobody on a connection that it did not dial over a relay, or beside a direct one', async () => {
      const peer = stranger()
      const over = multiaddr(RELAY)
      direct = [peer]
      for (const connection of [
        relayed(stranger(), 'inbound'),
        Object.assign(relayed(stranger(), 'outbound'), { remoteAddr: multiaddr(THEIRS) }),
        Object.assign(relayed(peer, 'outbound'), { remoteAddr: over }),
      ]) {
        const { own } = await asked(connection)
        assert.equal(own.status, 'aborted')
      }
    })

    it('ends a stream on which something else comes, or too much', async () => {
      const sync = await asked(relayed(stranger(), 'outbound'))
      await sync.theirs.sendSync(signal)
      const empty = await asked(relayed(stranger(), 'outbound'))
      await empty.theirs.sendConnect([multiaddr('/ip4/10.0.0.1/tcp/1')], signal)
      const long = await asked(relayed(stranger(), 'outbound'))
      await lpStream(long.stream).write(new Uint8Array(4_097), { signal })
      await eventually(() => [sync, empty, long].every(({ own }) => own.status === 'aborted'), 'all are ended')
      assert.deepEqual(dialled, [])
    })

    it('answers six times a minute to one peer, and 32 times at once in all', async () => {
      const peer = stranger()
      const answersTo = async (connection: Connection): Promise<boolean> => {
        const { own, theirs } = await asked(connection)
        if (own.status === 'open') {
          await theirs.sendSync(signal)
          await eventually(() => own.status === 'aborted', 'it is over')
          return true
        }
        return false
      }
      const answers: boolean[] = []
      for (let count = 0; count < 8; count++) {
        answers.push(await answersTo(relayed(peer, 'outbound')))
      }
      assert.deepEqual(answers, [true, true, true, true, true, true, false, false])
      for (let count = 0; count < 40; count++) {
        answers.push(await answersTo(relayed(stranger(), 'outbound')))
      }
      assert.equal(answers.filter((answered) => answered).length, 32)
    })

    it('answers once where its router keeps no ports', async () => {
      isKept = false
      failures = ['timeout']
      const connection = relayed(stranger(), 'outbound')
      await ask(connection)
      await eventually(() => dialled.length === 1, 'it dials')
      assert.equal((await asked(connection)).own.status, 'aborted')
    })
  })

  describe('of a node that was called', () => {
    /** The other side keeps to the protocol, as often as it is asked. */
    function answering(peer: PeerId, named = [THEIRS]): { connection: Connection; said: string[] } {
      const said: string[] = []
      const answer = async (stream: Stream): Promise<void> => {
        const messages = holePunchStream(stream)
        said.push(`connect ${(await messages.readConnect(signal)).join()}`)
        await messages.sendConnect(
          named.map((address) => multiaddr(address)),
          signal,
        )
        await messages.readSync(signal)
        said.push('sync')
      }
      const newStream = async (protocol: string): Promise<Stream> => {
        const [stream, other] = await streamPair({ protocol })
        answer(other).catch((error) => other.abort(error))
        return stream
      }
      return { connection: Object.assign(relayed(peer, 'inbound'), { newStream }) as unknown as Connection, said }
    }

    it('tells and asks where to dial, and dials as the one that is dialled', async () => {
      const peer = stranger()
      const { connection, said } = answering(peer)
      const punched = await puncher.punch(connection)
      assert.deepEqual(said, [`connect ${OWN.toString()}`, 'sync'])
      assert.deepEqual(dialled, [{ address: `${THEIRS}/p2p/${peer.toString()}`, localPort: 40001, initiator: false }])
      assert.ok(hasPassingAddress(punched))
      assert.equal(released, 1)
    })

    it('tries three times', async () => {
      const { connection, said } = answering(stranger())
      failures = ['timeout', 'timeout', 'timeout', 'timeout']
      await assert.rejects(puncher.punch(connection), /not connected/)
      assert.deepEqual([dialled.length, said.length, released], [3, 6, 3])
    })

    it('tries once where its router keeps no ports', async () => {
      isKept = false
      const { connection } = answering(stranger())
      failures = ['timeout', 'timeout']
      await assert.rejects(puncher.punch(connection), /not connected/)
      assert.equal(dialled.length, 1)
    })

    it('dials again, four times in a try, where it is refused', async () => {
      const { connection, said } = answering(stranger())
      failures = ['refused', 'refused', 'refused', 'refused']
      await puncher.punch(connection)
      assert.deepEqual([dialled.length, said.length], [5, 2])
    })

    it('does not try again where the other side does not answer, or names nothing that may be dialled', async () => {
      const { connection, said } = answering(stranger(), ['/ip4/10.0.0.1/tcp/1'])
      await assert.rejects(puncher.punch(connection), /names no address that may be dialled/)
      assert.deepEqual([dialled.length, said.length, released], [0, 1, 1])
    })
  })
})
