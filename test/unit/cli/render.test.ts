import assert from 'node:assert/strict'
import { describeAttempts, describeEvent, eventLine } from '../../../src/cli/repl/events.ts'
import { clockOf } from '../../../src/cli/text/clock.ts'
import { jsonText } from '../../../src/cli/text/json.ts'
import { peerTable } from '../../../src/cli/text/peer-table.ts'
import { protocolTable } from '../../../src/cli/text/protocol-table.ts'
import { cut, shortPeerId, table, wrapped } from '../../../src/cli/text/render.ts'
import { durationText, humanMs } from '../../../src/primitives/human-ms.ts'
import { printable, printableLines } from '../../../src/primitives/printable.ts'
import type { PeerRow, ProtocolAnswer } from '../../../src/session/answers.ts'
import { PEER_ID } from '../../support/seeds.ts'

describe('text for a terminal', () => {
  it('keeps what a peer says from moving the cursor, colouring, or starting a line', () => {
    assert.equal(printable('\u001b[31mred\u001b[0m\u0007 a\r\nb\tc\u0085d\u202eevil\u2028e'), 'red  a b c d\\u202eevil e')
    assert.equal(printable('Grüße 漢字 🙂'), 'Grüße 漢字 🙂')
  })

  it('shows as its code what nobody would see: of no width, or turning the direction of a text', () => {
    const unseen = [
      '\u200b',
      '\u200d',
      '\u200e',
      '\u200f',
      '\u061c',
      '\u2060',
      '\ufeff',
      '\u00ad',
      '\u202a',
      '\u2066',
      '\u2069',
      '\ufe0f',
      '\u3164',
      '\ufff9',
    ]
    for (const character of unseen) {
      const code = `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
      assert.equal(printable(`pay${character}pal`), `pay${code}pal`)
      assert.equal(printableLines(`"a\t${character}"\nb`), `"a\t${code}"\nb`)
      assert.equal(JSON.parse(printable(JSON.stringify(character))), character)
    }
    assert.equal(printable('a\u{e0041}b'), 'a\\udb40\\udc41b')
    assert.equal(
      table([
        [`a\u200b`, 'b'],
        ['longer than it', 'c'],
      ]),
      `a\\u200b         b\nlonger than it  c`,
    )
    assert.equal(printable('e\u0301 \u0600 नि'), 'e\u0301 \u0600 नि')
  })

  it('shortens peer IDs and times', () => {
    assert.equal(shortPeerId(PEER_ID), '12D3KooW…RNiW6Cb'.replace('RNiW6Cb', PEER_ID.slice(-6)))
    assert.equal(shortPeerId('short'), 'short')
    const times = [-120_000, 0.04, 0.84, 9.96, 12.3, 999, 1_000, 12_400, 119_000, 180_000].map(humanMs)
    assert.deepEqual(times, ['< 1 ms', '< 1 ms', '< 1 ms', '10.0 ms', '12 ms', '999 ms', '1 s', '12 s', '119 s', '3 min'])
    const durations = [0.04, 350, 1_000, 7_500, 99_900, 100_000, 180_000].map(durationText)
    assert.deepEqual(durations, ['< 1 ms', '350 ms', '1.0 s', '7.5 s', '99.9 s', '100 s', '3 min'])
  })

  it('has tables whose columns stand under each other and fit', () => {
    const rows = [
      ['A', 'LONG'],
      ['longer', 'x'],
      ['漢', 'much too long'],
    ]
    assert.equal(table(rows, 14), 'A       LONG\nlonger  x\n漢      much …')
    // with what the width of which is looked up before the cut
    assert.equal(cut('12D3KooW…abcdef  outbound', 12), '12D3KooW…ab…')
    assert.equal(cut('漢字漢字', 5), '漢字…')
    assert.equal(cut('漢字漢字', 8), '漢字漢字')
  })

  it('shows peers, connected and known, with nothing where nothing is known', () => {
    const peer: PeerRow = {
      peerId: PEER_ID,
      alias: null,
      connected: true,
      direction: 'inbound',
      latencyMs: 1.23,
      agent: 'agent\u001b[2J/1.0',
      protocols: [],
      multiaddrs: [`/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`],
      source: 'connected',
      lastHeartbeatMs: null,
      network: null,
    }
    const known: PeerRow = {
      ...peer,
      connected: false,
      direction: null,
      latencyMs: null,
      agent: null,
      multiaddrs: [],
      lastHeartbeatMs: Date.now() - 5_000,
    }
    const [, whole] = peerTable([peer, known]).split('\n')
    assert.match(whole ?? '', new RegExp(`^${PEER_ID}  inbound`))
    const wide = peerTable([{ ...peer, multiaddrs: ['/ip4/127.0.0.1/udp/4001/quic-v1'] }], 120)
    assert.match(wide, /^12D3KooW…\w{6} .* \/ip4\/127\.0\.0\.1\/udp\/4001\/quic-v1$/m)
    assert.match(peerTable([peer], 118), new RegExp(`^${PEER_ID}`, 'm'))
    assert.ok(
      peerTable([peer], 80)
        .split('\n')
        .every((line) => line.length <= 80 && !line.includes(PEER_ID)),
    )
    const [header, first, second] = peerTable([peer, known]).split('\n')
    assert.match(header ?? '', /^PEER +STATE +LATENCY +HEARTBEAT +AGENT +ADDRESS$/)
    assert.match(first ?? '', /^12D3KooW\w{44} +inbound +1\.2 ms +- +agent\/1\.0 +\/ip4\/127\.0\.0\.1\/tcp\/1$/)
    assert.match(second ?? '', /^12D3KooW\w{44} +known +- +5 s ago +- +-$/)
    const [mixedHeader, native, template] = peerTable([
      { ...peer, network: 'native' },
      { ...known, network: 'template' },
    ]).split('\n')
    assert.match(mixedHeader ?? '', /HEARTBEAT +NETWORK +AGENT +ADDRESS$/)
    assert.match(native ?? '', / native +agent/)
    assert.match(template ?? '', / template +-/)
    assert.equal(peerTable([]), 'PEER  STATE  LATENCY  HEARTBEAT  AGENT  ADDRESS')
  })

  it('wraps between words; beside a name, a longer address continues after a slash', () => {
    const address = `/ip4/127.0.0.1/tcp/35165/p2p/${PEER_ID}`
    assert.equal(wrapped(`one two ${address}`, 60), `one two\n${address}`)
    assert.equal(
      wrapped(`at ${address}: reached`, 80, 22).replaceAll(`\n${' '.repeat(22)}`, '|'),
      `at|/ip4/127.0.0.1/tcp/35165/p2p/|${PEER_ID}:|reached`,
    )
    assert.equal(wrapped(address, undefined, 22), address)
  })

  it('lists protocols in a table where it fits, and otherwise in lines, nothing cut', () => {
    const listed = [
      { id: '/subnet/merkle_dag_sync_protocol/1.0.0', kind: 'unary', requestType: 'a.b.SyncRequest', responseType: 'a.b.SyncResponse' },
      { id: '/greet/1.0.0\n', kind: 'server-streaming', requestType: null, responseType: null },
      { id: '/other/1.0.0', kind: null, requestType: null, responseType: null },
    ] as ProtocolAnswer[]
    const [header, first] = protocolTable(listed, 85).split('\n')
    assert.match(header ?? '', /^PROTOCOL +GIVES +REQUEST +RESPONSE$/)
    assert.match(first ?? '', /^\/subnet\/merkle_dag_sync_protocol\/1\.0\.0 {2}one answer +SyncRequest +SyncResponse$/)
    assert.deepEqual(protocolTable(listed, 78).split('\n'), [
      '/subnet/merkle_dag_sync_protocol/1.0.0',
      '  one answer: SyncRequest -> SyncResponse',
      '/greet/1.0.0 ',
      '  many answers',
      '/other/1.0.0',
    ])
  })

  it('shows the time of an event as a person reads it, with the day if it is another', () => {
    const atMs = new Date(2026, 10, 29, 7, 5, 9).getTime()
    assert.equal(clockOf(atMs), '07:05:09')
    assert.equal(clockOf(atMs, atMs + 86_400_000), '2026-11-29 07:05:09')
    const event = {
      event: 'task',
      atMs: Date.now(),
      peerId: PEER_ID,
      taskId: 't',
      accepted: true,
      ms: 4_000,
      payloadBytes: 300_000_000,
      resultBytes: 5,
    }
    assert.match(eventLine(event), /^\d{4}-\d\d-\d\dT[\d:.]+Z task t of \S+: accepted in 4 s, payload 300 MB, result 5 B$/)
    assert.match(
      eventLine(event, () => 'x'.repeat(75), 80),
      /^\d\d:\d\d:\d\d task t of\nx{75}:\naccepted in 4 s, payload 300 MB, result 5 B$/,
    )
  })

  it('tells events, and how an address was found, in a line each', () => {
    const atMs = 0
    const event = (event: string, rest: object): string => describeEvent({ event, atMs, peerId: PEER_ID, ...rest })
    const peer = shortPeerId(PEER_ID)
    assert.equal(
      describeEvent({ event: 'peer:disconnect', atMs, peerId: PEER_ID }, () => 'bob (id)'),
      'peer bob (id) disconnected',
    )
    assert.equal(event('ready', { multiaddrs: ['/a', '/b'] }), `ready: ${PEER_ID}\n  /a\n  /b`)
    assert.equal(event('peer:connect', { direction: 'inbound', multiaddr: '/a' }), `peer ${peer} connected (inbound, /a)`)
    assert.equal(event('peer:disconnect', {}), `peer ${peer} disconnected`)
    assert.equal(event('heartbeat', { state: 'online', multiaddrs: ['/a'] }), `heartbeat of ${peer}: online, 1 address(es)`)
    assert.equal(event('task', { taskId: 'a\u001b[2Jb\n', accepted: true, ms: 5 }), `task ab  of ${peer}: accepted in 5.0 ms`)
    assert.equal(event('stopping', {}), 'stopping')

    const attempts = [
      { tier: 'gossip', outcome: 'miss', ms: 0.1, detail: 'not known' },
      { tier: 'neighbour', outcome: 'hit', ms: 12, detail: 'by way\nof a' },
      { tier: 'chain', outcome: 'skipped', ms: 0, detail: 'already found' },
    ] as const
    const answer = { peerId: PEER_ID, multiaddrs: [], source: 'neighbour', ageMs: 3_000, verified: true, attempts: [...attempts] } as const
    assert.equal(
      describeAttempts({ ...answer, multiaddrs: [], attempts: [...attempts] }),
      'source: neighbour, heard 3 s ago; gossip miss in < 1 ms, neighbour hit in 12 ms (by way of a)',
    )
    assert.equal(describeAttempts({ ...answer, multiaddrs: [], source: 'given', ageMs: null, attempts: [] }), 'source: given')
  })

  it('names the tier that answered as the source, also of an address that was kept from another', () => {
    const attempts = [{ tier: 'gossip', outcome: 'hit' as const, ms: 0.2, detail: 'in the book' }]
    const answer = { peerId: PEER_ID, multiaddrs: [], source: 'chain' as const, ageMs: null, verified: true, attempts }
    assert.equal(describeAttempts(answer), 'source: gossip, kept from chain; gossip hit in < 1 ms (in the book)')
    assert.equal(describeAttempts({ ...answer, source: 'given', attempts: [] }), 'source: given')
  })

  it('breaks a sentence between words, and leaves an address whole', () => {
    const address = `/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`
    assert.equal(wrapped('one two three', 8), 'one two\nthree')
    assert.equal(wrapped('one two three', 13), 'one two three')
    assert.equal(wrapped('one  two three', 12, 4), 'one  two\n    three')
    assert.equal(wrapped(`at ${address} now\n  and then`, 20), `at\n${address}\nnow\n  and then`)
    assert.equal(wrapped('漢字 漢字', 8), '漢字\n漢字')
    assert.equal(wrapped('\u001b[31mone\u001b[0m two', 7), '\u001b[31mone\u001b[0m two')
    assert.equal(wrapped('one two three', undefined), 'one two three')
  })

  it('gives measured numbers in JSON three decimals at most, and all others as they are', () => {
    const answer = {
      ms: 1.23456,
      list: [{ totalMs: 0.0004, roundTripsMs: [1.00049, 2] }],
      tasksPerSecond: 1 / 3,
      weight: -0.00005,
      block: 12,
    }
    assert.equal(
      jsonText(answer),
      '{"ms":1.235,"list":[{"totalMs":0,"roundTripsMs":[1,2]}],"tasksPerSecond":0.333,"weight":-0.00005,"block":12}',
    )
    assert.equal(jsonText({ ms: '1.23456', atMs: null }), '{"ms":"1.23456","atMs":null}')
  })
})
