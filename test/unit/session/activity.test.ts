import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { Activity } from '../../../src/session/activity.ts'
import type { ActivityAnswer } from '../../../src/session/answers.ts'
import { olderActivity } from '../../../src/session/control/older-activity.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'

const NOTHING_SENT = { sent: 0, sentAccepted: 0, sentRejected: 0, sentFailed: 0 }
const SENT = { taskId: 'out', peerId: PEER_ID, ms: 1, retries: 0, payloadBytes: 4 }

describe('the activity of a node', () => {
  let node: EventEmitter
  let activity: Activity
  let connections: object[]

  beforeEach(() => {
    connections = []
    node = Object.assign(new EventEmitter(), {
      aliases: { byPeer: () => new Map([[PEER_ID, 'bob']]) },
      connections,
      tasks: { handling: 3, waiting: 1 },
    })
    activity = new Activity(node as never)
  })

  const answer = (sent = NOTHING_SENT): ActivityAnswer => activity.answer(5, sent)

  it('sums tasks by direction and by peer, with their bytes', () => {
    node.emit('task', { taskId: 'a', peerId: PEER_ID, accepted: true, ms: 1, payloadBytes: 10, resultBytes: 20 })
    node.emit('task', {
      taskId: 'b',
      peerId: PEER_ID,
      accepted: false,
      ms: 1,
      payloadBytes: 1,
      reason: 'exit-code',
      detail: 'exited with 3',
    })
    activity.onSent({ ...SENT, outcome: 'accepted', resultBytes: 8 })
    activity.onSent({ ...SENT, outcome: 'rejected', detail: 'no' })
    activity.onSent({ ...SENT, outcome: 'failed', peerId: OTHER_PEER_ID, reason: 'TIMEOUT', detail: 'late' })
    const { inbound, outbound, peers, failures, uptimeMs } = answer({ sent: 5, sentAccepted: 1, sentRejected: 1, sentFailed: 1 })
    assert.equal(uptimeMs, 5)
    assert.deepEqual(inbound, { accepted: 1, rejected: 1, givenUp: 0, failed: 0, running: 3, queued: 1, bytesSent: 20, bytesReceived: 11 })
    assert.deepEqual(outbound, { accepted: 1, rejected: 1, givenUp: 0, failed: 1, running: 2, queued: 0, bytesSent: 12, bytesReceived: 8 })
    const [other, bob] = peers.map(({ lastAtMs: _, ...peer }) => peer)
    assert.deepEqual(bob, { peerId: PEER_ID, alias: 'bob', inbound: 2, outbound: 2, failed: 2, bytesSent: 28, bytesReceived: 19 })
    assert.deepEqual([other?.peerId, other?.alias, other?.failed], [OTHER_PEER_ID, null, 1])
    assert.deepEqual(
      failures.map(({ direction, taskId, reason, detail }) => [direction, taskId, reason, detail]),
      [
        ['outbound', 'out', 'TIMEOUT', 'late'],
        ['outbound', 'out', 'rejected', 'no'],
        ['inbound', 'b', 'exit-code', 'exited with 3'],
      ],
    )
  })

  it('sums what tiers came to, and leaves out those that were not asked', () => {
    const attempt = (tier: string, outcome: string): object => ({ tier, outcome, ms: 1, detail: '' })
    for (const outcome of ['miss', 'timeout', 'error', 'hit', 'hit']) {
      node.emit('resolve', { attempts: [attempt('gossip', outcome), attempt('chain', outcome === 'hit' ? 'skipped' : 'hit')] })
    }
    assert.deepEqual(answer().tiers, [
      { tier: 'gossip', hits: 2, misses: 1, failures: 2 },
      { tier: 'chain', hits: 3, misses: 0, failures: 0 },
    ])
  })

  it('stays small, however many peers, failures and connections there are', () => {
    for (let number = 0; number < 1_200; number++) {
      const about = { taskId: `task ${number}`, peerId: `peer ${number}`, detail: 'x'.repeat(5_000) }
      node.emit('task', { ...about, accepted: false, ms: 1, reason: 'limit' })
    }
    const open = { remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'), direction: 'inbound', timeline: { open: 7 } }
    connections.push(...Array.from({ length: 600 }, () => ({ ...open, remotePeer: PEER_ID })))
    const { peers, failures, connections: told, inbound } = answer()
    assert.equal(inbound.rejected, 1_200)
    assert.deepEqual([peers.length, failures.length, told.length], [200, 32, 500])
    assert.deepEqual([peers[0]?.peerId, failures[0]?.taskId, failures[0]?.detail.length], ['peer 1199', 'task 1199', 300])
    // the oldest peers were displaced: they begin anew
    node.emit('task', { taskId: '', peerId: 'peer 0', accepted: true, ms: 1 })
    node.emit('task', { taskId: '', peerId: 'peer 1100', accepted: true, ms: 1 })
    assert.deepEqual(
      answer()
        .peers.slice(0, 2)
        .map(({ peerId, inbound: count }) => [peerId, count]),
      [
        ['peer 1100', 2],
        ['peer 0', 1],
      ],
    )
  })

  it('tells a relayed connection from a direct one', () => {
    const relay = `/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER_ID}/p2p-circuit/p2p/${PEER_ID}`
    const addresses = ['/ip4/127.0.0.1/tcp/1', relay]
    const about = { remotePeer: PEER_ID, direction: 'outbound', timeline: { open: 7 }, rtt: 1.23456 }
    connections.push(...addresses.map((address) => ({ ...about, remoteAddr: multiaddr(address) })))
    const expected = { peerId: PEER_ID, alias: 'bob', direction: 'outbound', openedAtMs: 7, latencyMs: 1.235 }
    assert.deepEqual(answer().connections, [
      { ...expected, relayed: false, multiaddr: addresses[0] },
      { ...expected, relayed: true, multiaddr: relay },
    ])
  })

  it('is made of the status and the peers of a node that does not tell it', () => {
    const tasks = {
      accepted: 4,
      rejected: 3,
      rejections: [{ reason: 'abandoned', count: 2 }],
      running: 2,
      queued: 1,
      sent: 9,
      sentAccepted: 5,
      sentRejected: 2,
      sentFailed: 1,
      lastRejections: [],
    }
    const row = { peerId: PEER_ID, alias: null, direction: 'inbound', latencyMs: 3, multiaddrs: ['/ip4/127.0.0.1/tcp/1'] }
    const peers = [
      { ...row, connected: true },
      { ...row, connected: false },
    ]
    const { inbound, outbound, connections: told, peers: traffic, tiers } = olderActivity({ uptimeMs: 9, tasks } as never, peers as never)
    assert.deepEqual([inbound.accepted, inbound.rejected, inbound.givenUp, inbound.running, inbound.queued], [4, 3, 2, 2, 1])
    assert.deepEqual([outbound.accepted, outbound.rejected, outbound.failed, outbound.running], [5, 2, 1, 1])
    assert.deepEqual([told.length, told[0]?.relayed, traffic, tiers], [1, false, [], []])
  })
})
