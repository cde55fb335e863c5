import assert from 'node:assert/strict'
import type { PublishPlan } from '../../../src/chain/registry.ts'
import { amountOf, describePlan } from '../../../src/cli/text/publish-plan.ts'

const PLAN: PublishPlan = {
  endpoint: 'ws://127.0.0.1:9944',
  subnetId: 128_001,
  nodeId: 3,
  from: { peerId: '12D3A', multiaddr: '/ip4/10.0.0.1/tcp/1/p2p/12D3A' },
  to: { peerId: '12D3A', multiaddr: '/ip4/203.0.113.7/tcp/443/wss/p2p/12D3A' },
  given: '/ip4/203.0.113.7/tcp/443/tls/ws',
  refused: [{ multiaddr: '/dns/a.example/tcp/1', reason: 'no /dns' }],
  left: ['/ip4/203.0.113.8/tcp/1'],
  account: '0xAbC',
  nonce: 7,
  call: 'Network.update_peer_info',
  feePlanck: 1_250_000_000_000_000n,
  unchecked: undefined,
  token: { symbol: 'TENSOR', decimals: 18 },
}

describe('what is shown of a change before it is signed', () => {
  it('is the change, by whom, at which nonce, for how much, and what was left out', () => {
    assert.equal(
      describePlan(PLAN),
      [
        'chain    ws://127.0.0.1:9944, subnet 128001, node 3',
        'peer     12D3A',
        'from     /ip4/10.0.0.1/tcp/1/p2p/12D3A',
        'to       /ip4/203.0.113.7/tcp/443/wss/p2p/12D3A',
        'account  0xAbC, nonce 7',
        'call     Network.update_peer_info',
        'fee      about 0.00125 TENSOR (1250000000000000 planck)',
        '/ip4/203.0.113.7/tcp/443/tls/ws is written differently on this chain',
        'left out: /dns/a.example/tcp/1: no /dns',
        'left out: /ip4/203.0.113.8/tcp/1: a node has one address on this chain, the first that the chain accepts',
      ].join('\n'),
    )
  })

  it('says that a node gets another peer, or had no address, and what is not known', () => {
    const text = describePlan({ ...PLAN, from: { peerId: '12D3B', multiaddr: undefined }, feePlanck: undefined })
    assert.match(text, /^peer {5}12D3B becomes 12D3A$/m)
    assert.match(text, /^from {5}no address$/m)
    assert.match(text, /^fee {6}not known: the endpoint does not report it$/m)
    assert.match(describePlan({ ...PLAN, token: undefined }), /^fee {6}about 1250000000000000 planck$/m)
  })

  it('has nothing in it of what somebody wrote on the chain to deceive a terminal', () => {
    const text = describePlan({ ...PLAN, from: { peerId: '12D3\u001b[2K\r\nfee 0', multiaddr: undefined } })
    assert.match(text, /^peer {5}12D3 fee 0 becomes 12D3A$/m)
  })

  it('gives amounts in whole tokens, exactly', () => {
    const tensor = { symbol: 'T', decimals: 18 }
    assert.deepEqual(
      [0n, 1n, 10n ** 18n, 12n * 10n ** 17n, 10n ** 20n + 1n].map((planck) => amountOf(planck, tensor)),
      ['0 T', '0.000000000000000001 T', '1 T', '1.2 T', '100.000000000000000001 T'],
    )
    assert.equal(amountOf(7n, { symbol: 'T', decimals: 0 }), '7 T')
  })
})
