import type { PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { AddressSource, Candidate } from '../../../src/resolve/tier.ts'

/** An answer: the addresses of `peerId` at these ports. */
export function candidate(peerId: PeerId, source: AddressSource, ports: number[], overrides: Partial<Candidate> = {}): Candidate {
  return {
    multiaddrs: ports.map((port) => multiaddr(`/ip4/10.0.0.1/tcp/${port}/p2p/${peerId.toString()}`)),
    source,
    verified: true,
    seq: 1n,
    ageMs: 0,
    detail: `${source} ${ports.join('+')}`,
    ...overrides,
  }
}

export function portsOf({ multiaddrs }: Pick<Candidate, 'multiaddrs'>): number[] {
  return multiaddrs.map((address) => Number(address.getComponents()[1]?.value))
}

export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) {
    all.push(item)
  }
  return all
}
