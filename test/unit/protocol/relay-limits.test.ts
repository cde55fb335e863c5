import assert from 'node:assert/strict'
import type { Connection, ConnectionLimits } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { metRelayLimit, noteRelayLimits } from '../../../src/protocol/api/relay-limits.ts'

const RELAY = '/ip4/45.79.0.1/tcp/4001/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const MIB = 1 << 20

/** A connection over the relay that began with some limits, and has others left when it ended. */
function ended(told: ConnectionLimits, left: ConnectionLimits, status: Connection['status'] = 'closed'): Connection {
  const limits = { ...told }
  noteRelayLimits(limits)
  const remoteAddr = multiaddr(`${RELAY}/p2p-circuit`)
  return { remoteAddr, status, limits: Object.assign(limits, left) } as Connection
}

describe('the limit of a relay that ended a connection', () => {
  const given = { bytes: BigInt(16 * MIB), seconds: 600 }

  it('is that of bytes where none are left, in a unit that its setting is read in', () => {
    const met = metRelayLimit(ended(given, { bytes: 0n, seconds: 590 }))
    assert.equal(met?.message, `the relay ${RELAY} ended the connection: its limit for each connection is 16 MiB, both ways together`)
    assert.match(met?.hint ?? '', /^raise relayBytes on the relay/)
    const small = metRelayLimit(ended({ bytes: 128n << 10n }, { bytes: 0n }))
    assert.match(small?.message ?? '', /its limit for each connection is 128 KiB, both ways/)
    const odd = metRelayLimit(ended({ bytes: 200_000n }, { bytes: 0n }))
    assert.match(odd?.message ?? '', /its limit for each connection is 200000 bytes, both ways/)
  })

  it('is that of time where none is left', () => {
    const met = metRelayLimit(ended(given, { bytes: BigInt(15 * MIB), seconds: 1 }))
    assert.equal(met?.message, `the relay ${RELAY} ended the connection: its limit for each connection is 600 s`)
    assert.match(met?.hint ?? '', /^raise relayDuration on the relay/)
  })

  it('is none where both are left, or the connection is open, or no relay told any', () => {
    assert.equal(metRelayLimit(ended(given, { bytes: BigInt(10 * MIB), seconds: 300 })), undefined)
    assert.equal(metRelayLimit(ended(given, { bytes: 0n, seconds: 0 }, 'open')), undefined)
    assert.equal(metRelayLimit({ status: 'closed', remoteAddr: multiaddr(RELAY) } as unknown as Connection), undefined)
  })
})
