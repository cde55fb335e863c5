import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { describeStatus } from '../../../src/cli/text/status-text.ts'
import type { StatusAnswer } from '../../../src/session/answers.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'

const ADDRESS = '/ip4/203.0.113.7/tcp/38960'
const REPORT = { peerId: OTHER_PEER_ID, outcome: 'reached', atMs: 0 }
const STATUS = {
  healthy: true,
  problems: [],
  notices: [],
  peerId: PEER_ID,
  multiaddrs: [`${ADDRESS}/p2p/${PEER_ID}`],
  reachability: { addresses: [{ multiaddr: ADDRESS, verdict: 'public', reports: [REPORT, REPORT] }] },
  portMapping: { status: 'off', detail: 'a test', router: null, protocol: null, mappings: [] },
  agent: 'subnet/1',
  home: '/home/x',
  connections: { inbound: 0, outbound: 0 },
  places: { open: 0, maxOpen: 300, pending: 0, maxPending: 200, full: [], largest: null, turnedAway: 0, displaced: 0 },
  heartbeats: { sent: 0, received: 0, intervalMs: 20_000, lastReceivedAtMs: null },
  tasks: { rejections: [], lastRejections: [{ atMs: 0, taskId: 't7', peerId: OTHER_PEER_ID, reason: 'no-handler', detail: 'none' }] },
  book: { peers: 0, capacity: 10_000 },
  chain: { url: 'ledger:', endpoint: 'ledger:', reachable: true, block: null, lagMs: null },
} as unknown as StatusAnswer

describe('the state of a node in words', () => {
  const peersIn = (columns?: number): number[] => {
    const text = stripVTControlCharacters(describeStatus(STATUS, columns))
    return [OTHER_PEER_ID, `${OTHER_PEER_ID.slice(0, 8)}…${OTHER_PEER_ID.slice(-6)}`].map((id) => text.split(id).length - 1)
  }

  it('has whole IDs off a terminal, and in each line that they fit', () => {
    assert.deepEqual(peersIn(), [3, 0])
    assert.deepEqual(peersIn(300), [3, 0])
    assert.deepEqual(peersIn(120), [1, 2])
    assert.deepEqual(peersIn(80), [0, 3])
  })
})
