import { execFile } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ChaosNetwork } from './chaos-network.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { Clock } from './clock.ts'
import { Dice } from './dice.ts'

const run = promisify(execFile)
const DISK_MB = 24
const LEAST_MS = 1_000
const MOST_MS = 12_000
const PAUSE_MS = 1_500
const FIRST_OTHER_PORT = 21_000
const CLOCK_JUMP_S = 150
const MOST_LOSS_PERCENT = 20
const MOST_DELAY_MS = 150
/** Of so many nodes at least half stay on the other side of a partition. */
const LARGEST_GROUP = 4

export interface FaultsOptions {
  nodes: ChaosNode[]
  network: ChaosNetwork | undefined
  clocks: Map<number, Clock>
  /** The nodes whose home is a separate disk. */
  disks: Set<number>
  seed: number
  signal: AbortSignal
}

/** Mounts a small disk where the home of a node will be. */
export async function mountDisk(home: string): Promise<void> {
  await mkdir(home, { recursive: true })
  await mountTmpfs(home, `size=${DISK_MB}m,mode=0700`)
}

export async function mountTmpfs(at: string, options = 'mode=1777'): Promise<void> {
  await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', at])
}

/** What happens to the nodes, one fault after another in each of three rows: two of processes, one of the network. */
export class Faults {
  readonly #options: FaultsOptions
  #port = FIRST_OTHER_PORT
  /** How often each happened. */
  readonly counts = new Map<string, number>()

  constructor(options: FaultsOptions) {
    this.#options = options
  }

  /** Until the signal; everything is as before then. */
  async run(): Promise<void> {
    const { network, seed } = this.#options
    const ofProcesses = {
      kill: async (node: ChaosNode, dice: Dice) => this.#kill(node, dice),
      'restart on another port': async (node: ChaosNode) => node.restart(this.#port++),
      freeze: async (node: ChaosNode, dice: Dice) => this.#freeze(node, dice),
      'full disk': async (node: ChaosNode, dice: Dice) => this.#fillDisk(node, dice),
      'clock jump': async (node: ChaosNode, dice: Dice) => this.#jump(node, dice),
    }
    const rows = [1, 2].map(async (row) => this.#row(ofProcesses, new Dice(seed + row)))
    if (network != null) {
      rows.push(this.#networkRow(network, new Dice(seed + 3)))
    }
    await Promise.all(rows)
  }

  async #row(faults: Record<string, (node: ChaosNode, dice: Dice) => Promise<void>>, dice: Dice): Promise<void> {
    const { nodes, disks, clocks, signal } = this.#options
    const fitting = (name: string): { has(index: number): boolean; size: number } | undefined =>
      ({ 'full disk': disks, 'clock jump': clocks })[name]
    const names = Object.keys(faults).filter((name) => fitting(name)?.size !== 0)
    while (!signal.aborted) {
      await this.#hold(PAUSE_MS)
      const name = dice.pick(names)
      const node = dice.pick(nodes.filter(({ index, busy }) => !busy && (fitting(name)?.has(index) ?? true)))
      if (node != null && !signal.aborted) {
        node.busy = true
        this.#count(name)
        await faults[name]?.(node, dice)
        node.busy = false
      }
    }
  }

  async #networkRow(network: ChaosNetwork, dice: Dice): Promise<void> {
    const { nodes, signal } = this.#options
    while (!signal.aborted) {
      await this.#hold(PAUSE_MS)
      const name = dice.pick(['partition', ...(network.whyNoWeather == null ? ['loss', 'delay', 'loss and delay'] : [])])
      this.#count(name)
      if (name === 'partition') {
        const group = nodes.map(({ index }) => index).filter(() => dice.oneIn(2))
        await network.partition(group.slice(0, LARGEST_GROUP))
        await this.#hold(someMs(dice))
        await network.heal(group.slice(0, LARGEST_GROUP))
      } else {
        const delayMs = name.includes('delay') ? dice.between(0, MOST_DELAY_MS) : 0
        await network.change({ delayMs, lossPercent: name.includes('loss') ? dice.between(0, MOST_LOSS_PERCENT) : 0 })
        await this.#hold(someMs(dice))
        await network.clear()
      }
    }
  }

  async #kill(node: ChaosNode, dice: Dice): Promise<void> {
    await node.kill()
    await this.#hold(someMs(dice) / 4)
    await node.start()
  }

  async #freeze(node: ChaosNode, dice: Dice): Promise<void> {
    node.freeze()
    await this.#hold(someMs(dice))
    node.thaw()
  }

  async #fillDisk(node: ChaosNode, dice: Dice): Promise<void> {
    const filler = join(node.home, 'filler')
    // dd writes until nothing goes in any more
    await run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k']).catch(() => undefined)
    await this.#hold(someMs(dice))
    await rm(filler, { force: true })
  }

  async #jump(node: ChaosNode, dice: Dice): Promise<void> {
    const clock = this.#options.clocks.get(node.index)
    await clock?.set(dice.pick([-CLOCK_JUMP_S, CLOCK_JUMP_S]))
    await this.#hold(someMs(dice))
    await clock?.set(0)
  }

  async #hold(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#options.signal }).catch(() => undefined)
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }
}

function someMs(dice: Dice): number {
  return dice.between(LEAST_MS, MOST_MS)
}
