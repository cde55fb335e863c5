import assert from 'node:assert/strict'
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { CircuitCounts } from '../../../src/node/stack/circuit-counts.ts'

/** A peer that calls, at an address of its own unless another is given. */
function caller(number: number, ip = `45.79.${number >> 8}.${number & 255}`): Connection {
  return { remotePeer: `peer ${number}`, remoteAddr: multiaddr(`/ip4/${ip}/tcp/4001`) } as unknown as Connection
}

function target(number: number): Uint8Array {
  return Uint8Array.of(number >> 8, number & 255)
}

describe('the circuits of a relay', () => {
  const BOUNDS = {
    'of one peer that calls are 16': { max: 16, begin: (n: number) => [caller(1), target(n)] as const },
    'of one address that calls are 64': { max: 64, begin: (n: number) => [caller(n, '45.79.0.1'), target(n)] as const },
    'to one peer are 64': { max: 64, begin: (n: number) => [caller(n), target(1)] as const },
    'are 256 in all': { max: 256, begin: (n: number) => [caller(n), target(n)] as const },
  }

  for (const [what, { max, begin }] of Object.entries(BOUNDS)) {
    it(`${what}, and one that ends gives its place back, once`, () => {
      const counts = new CircuitCounts()
      const circuits = Array.from({ length: max }, (_, index) => counts.begin(...begin(index)))
      assert.ok(circuits.every((circuit) => circuit != null))
      assert.equal(counts.begin(...begin(max)), undefined)
      circuits[0]?.end()
      circuits[0]?.end()
      assert.equal(counts.size, max - 1)
      assert.notEqual(counts.begin(...begin(max)), undefined)
      assert.equal(counts.begin(...begin(max + 1)), undefined)
    })
  }
})
