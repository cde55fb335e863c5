import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { widthOf } from '../../../src/cli/text/render.ts'
import { rateHistory, SORTS, shownBytes, shownCount, sparkline } from '../../../src/cli/top/figures.ts'
import { topScreen } from '../../../src/cli/top/top-screen.ts'
import { firstState, type Key, pressed, shownPeers, type TopState, withActivity } from '../../../src/cli/top/top-state.ts'
import type { ActivityAnswer, StatusAnswer } from '../../../src/session/answers.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'

const NOW_MS = 1_800_000_000_000
const SMALL = { columns: 80, rows: 24 }
const LARGE = { columns: 120, rows: 40 }
const NO_TASKS = { accepted: 0, rejected: 0, givenUp: 0, failed: 0, running: 0, queued: 0, bytesSent: 0, bytesReceived: 0 }
const HOSTILE = '\u001b[2J\u001b]0;gone\u0007wide 名前\r\nline\u202e\u0000 end'

type Traffic = ActivityAnswer['peers'][number]

function peer(peerId: string, about: Partial<Traffic> = {}): Traffic {
  return { peerId, alias: null, inbound: 0, outbound: 0, failed: 0, bytesSent: 0, bytesReceived: 0, lastAtMs: NOW_MS, ...about }
}

function activityAt(uptimeMs: number, about: Partial<ActivityAnswer> = {}): ActivityAnswer {
  return { uptimeMs, inbound: NO_TASKS, outbound: NO_TASKS, tiers: [], peers: [], failures: [], connections: [], ...about }
}

function connection(peerId: string, about: Partial<ActivityAnswer['connections'][number]> = {}): ActivityAnswer['connections'][number] {
  const multiaddr = `/ip4/127.0.0.1/tcp/1/p2p/${peerId}`
  return { peerId, alias: null, direction: 'inbound', relayed: false, multiaddr, openedAtMs: NOW_MS - 60_000, latencyMs: 1, ...about }
}

/** The node told these, a second apart. */
function stateOf(...answers: ActivityAnswer[]): TopState {
  const [first, ...rest] = answers as [ActivityAnswer, ...ActivityAnswer[]]
  return rest.reduce(
    (state, activity, index) => withActivity(state, activity, NOW_MS + (index + 1) * 1_000),
    firstState({ atMs: NOW_MS, activity: first }),
  )
}

function key(state: TopState, ...keys: Array<string | Key>): TopState {
  return keys.reduce<TopState>((last, each) => pressed(last, typeof each === 'string' ? { name: each, sequence: each } : each)[0], state)
}

function lines(state: TopState, size = SMALL): string[] {
  return topScreen(state, size).map((line) => stripVTControlCharacters(line))
}

function lineWith(text: RegExp, state: TopState, size = SMALL): string {
  return lines(state, size).find((line) => text.test(line)) ?? assert.fail(`no line has ${text}:\n${lines(state, size).join('\n')}`)
}

const BUSY = stateOf(
  activityAt(1_000, { peers: [peer(PEER_ID, { alias: 'bob' })] }),
  activityAt(3_000, {
    inbound: { ...NO_TASKS, accepted: 90, rejected: 10, running: 7, queued: 2, bytesReceived: 4_000, bytesSent: 3_000_000 },
    outbound: { ...NO_TASKS, accepted: 1, failed: 1 },
    tiers: [{ tier: 'gossip', hits: 3, misses: 1, failures: 0 }],
    peers: [
      peer(OTHER_PEER_ID, { outbound: 2, failed: 1 }),
      peer(PEER_ID, { alias: 'bob', inbound: 100, failed: 10, bytesSent: 3_000_000, bytesReceived: 4_000 }),
    ],
    failures: [
      { atMs: NOW_MS - 2_000, direction: 'inbound', taskId: 't7', peerId: PEER_ID, reason: 'exit-code', detail: 'exited with 3: why' },
      { atMs: NOW_MS - 9_000, direction: 'outbound', taskId: 't1', peerId: OTHER_PEER_ID, reason: 'TIMEOUT', detail: 'late' },
    ],
    connections: [
      connection(PEER_ID, { alias: 'bob' }),
      connection(OTHER_PEER_ID, { direction: 'outbound', relayed: true }),
      connection(OTHER_PEER_ID, { direction: 'outbound' }),
    ],
  }),
)

describe('the live view of a node', () => {
  it('makes rates of sums, by the clock of the node', () => {
    assert.deepEqual(rateHistory(BUSY.snapshots, 'inbound'), [50])
    assert.match(lineWith(/^tasks in/, BUSY), /^tasks in +50\/s +█ 7 running, 2 wait$/)
    assert.match(lineWith(/^tasks out/, BUSY), /^tasks out +1\/s +█ 0 running$/)
    assert.match(lineWith(/^received/, BUSY), /^received 2\.0 kB\/s, sent 1\.5 MB\/s; tasks 91 accepted, 10 rejected, 1 failed$/)
  })

  it('begins anew with a node that was started anew, and with a peer that the node had forgotten', () => {
    const again = withActivity(BUSY, activityAt(500), NOW_MS)
    assert.equal(again.snapshots.length, 1)
    const forgotten = stateOf(
      activityAt(0, { peers: [peer(PEER_ID, { inbound: 80 })] }),
      activityAt(1_000, { peers: [peer(PEER_ID, { inbound: 3 })] }),
    )
    assert.deepEqual(rateHistory(forgotten.snapshots, 'inbound', PEER_ID), [3])
  })

  it('keeps five minutes, and no more', () => {
    let state = stateOf(activityAt(0))
    for (let second = 1; second < 400; second++) {
      state = withActivity(state, activityAt(second * 1_000), NOW_MS)
    }
    assert.deepEqual([state.snapshots.length, state.snapshots.at(-1)?.activity.uptimeMs], [300, 399_000])
  })

  it('draws bars, counts and bytes', () => {
    assert.equal(sparkline([0, 1, 50, 100], 6), '  ▁▂▅█')
    assert.equal(sparkline([9, 0, 0], 2), '▁▁')
    assert.equal(sparkline([], 3), '   ')
    assert.deepEqual([0, 0.25, 9.96, 12.4, 12_345, 1_250_000].map(shownCount), ['0', '0.3', '10.0', '12', '12,345', '1.3M'])
    assert.deepEqual([0, 999, 999.6, 1_234, 9_960, 34e6, 5e15].map(shownBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.2 kB',
      '10 kB',
      '34 MB',
      '5000 TB',
    ])
  })

  it('shows peers by traffic with their alias, their ID, and the way to them', () => {
    const shown = lines(BUSY).filter((line) => /12D3KooW…/.test(line))
    assert.match(shown[0] ?? '', /^> bob +12D3KooW…\w{6} +50 +0 +1\.5 MB +2\.0 kB +10 in$/)
    assert.match(shown[1] ?? '', /^ {2}- +12D3KooW…\w{6} +0 +1 +0 B +0 B +1 relay out$/)
  })

  it('shows whole IDs where they fit beside the aliases', () => {
    const row = lineWith(/^> bob/, BUSY, LARGE)
    assert.match(row, new RegExp(`^> bob +${PEER_ID} +50 +0 +1\\.5 MB +2\\.0 kB +10 in$`))
    assert.equal(row.indexOf(PEER_ID), lineWith(/ALIAS/, BUSY, LARGE).indexOf('PEER'))
    const named = stateOf(activityAt(1_000, { peers: [peer(PEER_ID, { alias: 'x'.repeat(24) }), peer(OTHER_PEER_ID)] }))
    assert.match(lineWith(/x{24}/, named, LARGE), /^ {2}x{24} 12D3KooW…/)
    assert.match(lineWith(/x{24}/, named, { columns: 131, rows: 40 }), new RegExp(`^ {2}x{24} ${PEER_ID} `))
  })

  it('shows tasks that failed with their reasons, how often tiers knew the peer, and connections as a map', () => {
    assert.match(lineWith(/exit-code/, BUSY), /^ +3 s exit-code +t7 of bob: exited with 3: why$/)
    assert.match(lineWith(/TIMEOUT/, BUSY), /^ +10 s TIMEOUT +t1 to 12D3KooW…\w{6}: late$/)
    assert.match(lineWith(/^tiers/, BUSY), /^tiers {2}gossip 75% of 4$/)
    assert.match(lineWith(/^direct/, BUSY), /● 1 in ──▶ node ──▶ out ● 1$/)
    assert.match(lineWith(/^relayed/, BUSY), /- in ╌╌▶ node ╌╌▶ out ○ 1$/)
  })

  it('shows the cause of a failure beside an ID and a name of any length, and its whole help, on the smallest screen', () => {
    const taskId = 'b053724e-4628-4a05-9d3b-6bf17e856bf1'
    const failed = {
      atMs: NOW_MS,
      direction: 'inbound' as const,
      taskId,
      peerId: PEER_ID,
      reason: 'exit-code',
      detail: 'exited with 4: paint',
    }
    const state = stateOf(activityAt(0, { peers: [peer(PEER_ID)], failures: [failed] }))
    assert.match(lineWith(/exit-code/, state), /exit-code +b053724e… of 12D3KooW…\w{6}: exited with 4: paint$/)
    assert.match(lineWith(/exit-code/, state, LARGE), new RegExp(` ${taskId} of 12D3KooW…\\w{6}: exited with 4: paint$`))
    const named = stateOf(activityAt(0, { peers: [peer(PEER_ID, { alias: 'a'.repeat(60) })], failures: [failed] }))
    assert.match(lineWith(/exit-code/, named), /b053724e… of a+…: exited with 4: paint$/)
    assert.match(lineWith(/exit-code/, key(state, 'return')), /in, exit-code: exited with 4: paint; task b053724e/)
    assert.doesNotMatch(lines(key(state, '?')).join('\n'), /…/)
  })

  it('shows tasks that their callers gave up behind those that failed, and counts them apart', () => {
    const failure = { direction: 'inbound' as const, peerId: PEER_ID, detail: 'why' }
    const failures = [
      ...Array.from({ length: 16 }, (_, index) => ({ ...failure, atMs: NOW_MS - index, taskId: `g${index}`, reason: 'abandoned' })),
      { ...failure, atMs: NOW_MS - 9_000, taskId: 't1', reason: 'exit-code' },
    ]
    const peers = [peer(PEER_ID, { inbound: 21, failed: 21 })]
    const state = stateOf(activityAt(1_000, { inbound: { ...NO_TASKS, rejected: 21, givenUp: 16 }, peers, failures }))
    assert.match(lineWith(/^received/, state), / 0 accepted, 5 rejected, 0 failed$/)
    assert.match(lineWith(/^failed/, state), /^failed {2}tasks in and out, the newest first; 16 given up by callers, at the end$/)
    for (const page of [state, key(state, 'return')]) {
      const reasons = lines(page).flatMap((line) => line.match(/exit-code|abandoned/g) ?? [])
      assert.deepEqual(reasons.slice(0, 2), ['exit-code', 'abandoned'])
    }
  })

  it('sorts, and goes on from the last order to the first', () => {
    const orders = SORTS.map((_, index) => shownPeers(key(BUSY, ...Array.from({ length: index }, () => 's'))).map(({ peerId }) => peerId))
    const [bob, other] = [
      [PEER_ID, OTHER_PEER_ID],
      [OTHER_PEER_ID, PEER_ID],
    ]
    assert.deepEqual(orders, [bob, bob, other, bob, bob, bob])
    assert.equal(key(BUSY, ...SORTS.map(() => 's')).sort, 'rate')
    assert.match(lines(key(BUSY, 's', 's')).at(-1) ?? '', /^sorted by out /)
  })

  it('filters by ID and alias while it is typed', () => {
    const typing = key(BUSY, '/', 'B', 'o')
    assert.match(lines(typing).at(-1) ?? '', /^filter: Bo_/)
    assert.deepEqual(
      shownPeers(typing).map(({ alias }) => alias),
      ['bob'],
    )
    const kept = key(typing, 'return', 's')
    assert.deepEqual([kept.filter, kept.sort, kept.isTyping], ['Bo', 'in', false])
    assert.equal(key(kept, 'escape').filter, '')
    assert.equal(key(typing, 'backspace', 'q').filter, 'Bq')
    // neither a control character nor a pasted text gets in
    assert.equal(key(typing, { name: 'x', sequence: '\u0018' }, { name: 'up', sequence: '\u001b[A' }).filter, 'Bo')
    assert.match(lines(key(BUSY, '/', '!', 'return')).join('\n'), /no peer has this text in its ID or alias/)
  })

  it('opens the marked peer, and goes back', () => {
    const opened = key(BUSY, 'down', 'down', 'return')
    assert.deepEqual([opened.page, opened.selected], ['peer', OTHER_PEER_ID])
    const known = { ...opened, opened: { agent: HOSTILE, protocols: ['/a/1', '/b/1'], lastHeartbeatMs: NOW_MS - 4_000 } as never }
    const text = lines(known).join('\n')
    for (const expected of [
      new RegExp(`^peer +${OTHER_PEER_ID}$`, 'm'),
      /^agent +wide 名前 line\\u202e {1,2}end$/m,
      /^protocols +\/a\/1, \/b\/1$/m,
    ]) {
      assert.match(text, expected)
    }
    assert.match(text, /outbound, relayed, for 61 s, 1\.0 ms, \/ip4\/127\.0\.0\.1\/tcp\/1$/m)
    assert.match(text, /10 s ago, out, TIMEOUT: late; task t1$/m)
    assert.match(text, /^until now +0 tasks in, 2 out, 1 failed; 0 B sent, 0 B received$/m)
    assert.deepEqual([key(opened, 'escape').page, key(opened, '?').page, key(opened, '?', 'escape').page], ['peers', 'help', 'peers'])
  })

  it('stands still while it is paused, and goes on with what came meanwhile', () => {
    const paused = key(BUSY, 'p')
    const later = withActivity(paused, activityAt(4_000), NOW_MS + 60_000)
    assert.deepEqual(lines(later), lines(paused))
    assert.match(lines(paused)[0] ?? '', / paused$/)
    assert.match(lineWith(/^subnet top/, key(later, 'p')), /up 4 s$/)
  })

  it('ends by q and Ctrl-C, stops by Ctrl-Z, and is drawn anew by Ctrl-L', () => {
    const effect = (of: Key, state = BUSY): unknown => pressed(state, of)[1]
    assert.equal(effect({ name: 'q', sequence: 'q' }), 'quit')
    const keys = ['c', 'z', 'l', 'x'].map((name) => effect({ name, ctrl: true }, key(BUSY, '/')))
    assert.deepEqual(keys, ['quit', 'suspend', 'redraw', undefined])
    // a letter of the filter
    assert.equal(effect({ name: 'q', sequence: 'q' }, key(BUSY, '/')), undefined)
    assert.equal(effect({}), undefined)
  })

  it('says how the node is, and the first of its problems', () => {
    const problem = (message: string, severity = 'error'): object => ({ code: 'UNREACHABLE', severity, message })
    const status = {
      ...{ peerId: PEER_ID, network: 'native', subnetId: 1, agent: 'subnet/1', home: '/home/x', healthy: false },
      ...{ book: { peers: 3 }, chain: { reachable: true }, problems: ['one', 'two', 'three'].map((each) => problem(each)) },
    } as unknown as StatusAnswer
    const [first, second, ...rest] = lines({ ...BUSY, status })
    assert.match(first ?? '', /^subnet top {2}12D3KooW…\w{6} {2}native, subnet 1, subnet\/1 {2}up 3 s$/)
    assert.equal(second, 'not healthy  /home/x  book 3 peers  chain reachable')
    assert.match(rest[0] ?? '', /^problem: one$/)
    assert.match(rest[1] ?? '', /^problem: two +; 1 more: "subnet status"$/)
    assert.match(lines({ ...BUSY, trouble: 'no answer' })[2] ?? '', /^problem: no answer$/)
    assert.match(lineWith(/earlier version/, { ...stateOf(activityAt(0)), isOlder: true }), /no tiers, no bytes/)
  })

  it('fits each screen, whatever peers call themselves', () => {
    const peers = Array.from({ length: 60 }, (_, index) =>
      peer(`${HOSTILE}${index}${PEER_ID}`, { alias: HOSTILE.repeat(5), failed: 1e7, inbound: 1e9 }),
    )
    const failures = peers.map(({ peerId }) => ({
      ...{ atMs: NOW_MS, direction: 'inbound' as const, taskId: HOSTILE, peerId, reason: HOSTILE, detail: HOSTILE.repeat(20) },
    }))
    const connections = peers.flatMap(({ peerId, alias }) => [
      connection(peerId, { alias, multiaddr: HOSTILE }),
      connection(peerId, { relayed: true }),
    ])
    const tiers = peers.map(() => ({ tier: HOSTILE, hits: 1, misses: 0, failures: 0 }))
    const inbound = { ...NO_TASKS, accepted: 1e12, bytesSent: 1e18 }
    const full = stateOf(activityAt(0), activityAt(1_000, { inbound, peers, failures, connections, tiers }))
    const opened = { ...key(full, 'return'), opened: { agent: HOSTILE, protocols: [HOSTILE], lastHeartbeatMs: 0 } as never }
    for (const state of [
      full,
      opened,
      key(full, '?'),
      key(full, '/', ...'名名'),
      { ...full, trouble: HOSTILE.repeat(20) },
      stateOf(activityAt(0)),
    ]) {
      for (const size of [SMALL, LARGE, { columns: 200, rows: 60 }]) {
        const drawn = topScreen(state, size)
        assert.equal(drawn.length, size.rows - 1)
        for (const line of drawn) {
          const plain = stripVTControlCharacters(line)
          assert.ok(widthOf(plain) <= size.columns, `${widthOf(plain)}: ${plain}`)
          // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
          assert.doesNotMatch(plain, /[\u0000-\u001f\u007f-\u009f\u202e]/)
        }
      }
    }
  })

  it('says so where the screen is too small', () => {
    assert.deepEqual(lines(BUSY, { columns: 79, rows: 24 }), ['top needs 80x24; this is 79x24', 'q leaves'])
    assert.deepEqual(lines(BUSY, { columns: 12, rows: 1 }), ['top needs 8…'])
  })

  it('keeps the marked peer in sight', () => {
    const peers = Array.from({ length: 60 }, (_, index) => peer(`peer ${String(index).padStart(2, '0')}`))
    const many = stateOf(activityAt(0, { peers }))
    const last = key(many, ...Array.from({ length: 70 }, () => 'down'))
    assert.match(lineWith(/^>/, last), /peer 59/)
    assert.match(lineWith(/^>/, key(last, 'pageup')), /peer 49/)
    assert.match(lineWith(/^>/, key(many, 'up')), /peer 00/)
  })
})
