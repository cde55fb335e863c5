import assert from 'node:assert/strict'
import { PrometheusMetrics } from '../../../src/session/metrics/prometheus-metrics.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'
import { ThrowawayPeers } from '../../support/throwaway-crowd.ts'

/** How many peers come; `SUBNET_TEST_STRANGERS=10000` tries more. */
const STRANGERS = Number(process.env['SUBNET_TEST_STRANGERS'] ?? 100)
/** So many come before the first look: a series begins with the first event of its kind. */
const FIRST = 40
/** Kinds of events that may come for the first time later, on a machine that is busy. */
const LATE_KINDS = 20
const KAD = '/test/stack-metrics/kad/1.0.0'

describe("libp2p's own numbers", function () {
  this.timeout(60_000 + STRANGERS * 1_000)
  const lab = new Lab()
  const strangers = new ThrowawayPeers()

  after(async () => {
    await strangers.end()
    await lab.clean()
  })

  it(`have no time series for a peer, however many come: ${STRANGERS} of them`, async () => {
    const metrics = new PrometheusMetrics()
    const node = await lab.node({ metrics, settings: { kadProtocol: KAD, heartbeatInterval: '10m' }, handler: ({ payload }) => payload })
    const peers = new Set<string>()
    node.on('peer:connect', ({ peerId }) => peers.add(peerId))
    const seriesAfter = async (count: number): Promise<Map<string, number>> => {
      await strangers.visit(addressOf(node), KAD, count)
      await eventually(() => node.connections.length === 0, 'no connection is open')
      // gossipsub creates some of its series while it is read
      await metrics.text()
      const lines = (await metrics.text()).split('\n').filter((line) => /^(libp2p|gossip)/.test(line))
      return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
    }
    const before = await seriesAfter(FIRST)
    const after = await seriesAfter(STRANGERS)
    const added = [...after.keys()].filter((series) => !before.has(series))
    assert.ok(peers.size > STRANGERS, `${peers.size} peers`)
    assert.ok(added.length <= LATE_KINDS, added.join('\n'))
    for (const [kind, atLeast] of [
      ['libp2p_connection_manager_dials_total{libp2p_connection_manager_dials_total="inbound"}', FIRST + STRANGERS],
      ['libp2p_noise_xxhandshake_successes_total', FIRST],
      ['libp2p_kad_dht_inbound_rpc_requests_total{libp2p_kad_dht_inbound_rpc_requests_total="FIND_NODE"}', FIRST / 2],
      ['gossipsub_rpc_recv_count_total', FIRST / 2],
    ] as const) {
      assert.ok((after.get(kind) ?? 0) >= atLeast, `${kind} ${after.get(kind)}`)
    }
    const text = [...after.keys()].join('\n')
    assert.doesNotMatch(text, /\d+\.\d+\.\d+\.\d+|12D3Koo|::/)
    assert.ok(![...peers].some((peerId) => text.includes(peerId)))
  })
})
