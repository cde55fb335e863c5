import assert from 'node:assert/strict'
import { raceSignal } from 'race-signal'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, Lab } from '../../support/nodes.ts'

const LEAVES = 19
const STARTED_AT_ONCE = 4

/** Who heard a beat of whom. */
class Roll {
  readonly #heard = new Map<SubnetNode, Set<string>>()
  readonly #complete = Promise.withResolvers<void>()
  readonly #size: number

  constructor(size: number) {
    this.#size = size
  }

  follow(node: SubnetNode): void {
    const heard = new Set<string>()
    this.#heard.set(node, heard)
    node.on('heartbeat', ({ peerId }) => {
      heard.add(peerId)
      if (this.#heard.size === this.#size && this.#missing().length === 0) {
        this.#complete.resolve()
      }
    })
  }

  async complete(timeoutMs: number): Promise<void> {
    const late = AbortSignal.timeout(timeoutMs)
    await raceSignal(this.#complete.promise, late, {
      translateError: () => new Error(`after ${timeoutMs} ms not every beat reached every node: ${this.#missing().join(', ')}`),
    })
  }

  get nodes(): Iterable<SubnetNode> {
    return this.#heard.keys()
  }

  #missing(): string[] {
    const names = [...this.#heard.keys()].map(({ peerId }) => peerId.toString())
    return [...this.#heard.values()].flatMap((heard, listener) =>
      names.flatMap((name, author) => (author === listener || heard.has(name) ? [] : [`${listener} lacks ${author}`])),
    )
  }
}

describe('a star of 20 nodes on one IP address', function () {
  this.timeout(180_000)
  const lab = new Lab()

  after(async () => lab.clean())

  it('carries a beat of every node to every other', async () => {
    const roll = new Roll(1 + LEAVES)
    const start = async (index: number, bootstrap: string[]): Promise<SubnetNode> => {
      // a Kademlia network for each: in one that they shared they would find and dial each other, and it were no star
      const settings = { listen: ['/ip4/127.0.0.1/tcp/0'], heartbeatInterval: '5s', kadProtocol: `/star/${index}/kad/1.0.0`, bootstrap }
      const node = await lab.idle({ settings })
      roll.follow(node)
      await node.start()
      return node
    }
    const hub = await start(0, [])
    for (let started = 0; started < LEAVES; started += STARTED_AT_ONCE) {
      const count = Math.min(STARTED_AT_ONCE, LEAVES - started)
      await Promise.all(Array.from({ length: count }, async (_, index) => start(1 + started + index, [addressOf(hub)])))
    }
    await roll.complete(120_000)
    for (const node of roll.nodes) {
      const others = (await node.peers()).filter(({ peerId }) => !peerId.equals(hub.peerId))
      assert.ok(node === hub || others.length === 0, 'two leaves are connected: it was no star')
    }
  })
})
