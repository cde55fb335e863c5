import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SWITCH = fileURLToPath(new URL('./switch.py', import.meta.url))
/** The routing table through which packets come to the switch. */
const TABLE = '100'
const PARTITION_RULES = '100'
const SWITCH_RULES = '200'

/** What the switch does to each packet. */
export interface Weather {
  delayMs: number
  lossPercent: number
}

/**
 * A network for each node, joined by the network of this process, which routes between them, and a switch that holds packets back or
 * drops them. This process is root in a user namespace of its own; all of it ends with that.
 */
export class ChaosNetwork {
  readonly #holders: ChildProcess[] = []
  #switch: ChildProcess | undefined
  /** Why there is no loss and no delay here. */
  whyNoWeather: string | undefined

  static async open(count: number, seed: number): Promise<ChaosNetwork> {
    const network = new ChaosNetwork()
    await ip('link', 'set', 'lo', 'up')
    await writeFile('/proc/sys/net/ipv4/ip_forward', '1')
    for (let index = 0; index < count; index++) {
      await network.#join(index)
    }
    await network.#openSwitch(seed).catch((error) => {
      network.whyNoWeather = error instanceof Error ? error.message : String(error)
    })
    return network
  }

  addressOf(index: number): string {
    return `${subnetOf(index)}.2`
  }

  /** Before a command it makes the command run in the network of this node. */
  within(index: number): string[] {
    return ['nsenter', `--net=/proc/${this.#holders[index]?.pid}/ns/net`]
  }

  /** Drops, in silence, all packets between the nodes of this group and all others. */
  async partition(group: number[]): Promise<void> {
    await this.#acrossGroup(group, 'add')
  }

  async heal(group: number[]): Promise<void> {
    await this.#acrossGroup(group, 'del')
  }

  async change(weather: Weather): Promise<void> {
    this.#switch?.stdin?.write(`${weather.delayMs} ${weather.lossPercent}\n`)
    await this.#throughSwitch('add')
  }

  async clear(): Promise<void> {
    await this.#throughSwitch('del')
  }

  async #acrossGroup(group: number[], verb: 'add' | 'del'): Promise<void> {
    const others = [...this.#holders.keys()].filter((index) => !group.includes(index))
    for (const [from, to] of group.flatMap((one) => others.flatMap((other) => [[one, other] as const, [other, one] as const]))) {
      await ip('rule', verb, 'priority', PARTITION_RULES, 'iif', `v${from}`, 'to', `${subnetOf(to)}.0/24`, 'blackhole')
    }
  }

  async #throughSwitch(verb: 'add' | 'del'): Promise<void> {
    for (const index of this.#holders.keys()) {
      await ip('rule', verb, 'priority', SWITCH_RULES, 'iif', `v${index}`, 'lookup', TABLE)
    }
  }

  async #join(index: number): Promise<void> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo held; exec sleep infinity'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(holder.stdout, 'data')
    this.#holders.push(holder)
    const [program = '', ...entering] = this.within(index)
    const inside = async (...args: string[]): Promise<unknown> => run(program, [...entering, 'ip', ...args])
    await ip('link', 'add', `v${index}`, 'type', 'veth', 'peer', 'name', 'e0', 'netns', String(holder.pid))
    await ip('address', 'add', `${subnetOf(index)}.1/24`, 'dev', `v${index}`)
    await ip('link', 'set', `v${index}`, 'up')
    await inside('link', 'set', 'lo', 'up')
    await inside('address', 'add', `${this.addressOf(index)}/24`, 'dev', 'e0')
    await inside('link', 'set', 'e0', 'up')
    await inside('route', 'add', 'default', 'via', `${subnetOf(index)}.1`)
  }

  async #openSwitch(seed: number): Promise<void> {
    await ip('tuntap', 'add', 'dev', 't0', 'mode', 'tun')
    await ip('link', 'set', 't0', 'up')
    await ip('route', 'add', 'default', 'dev', 't0', 'table', TABLE)
    // what comes back from the switch has the source of a node
    await Promise.all(['all', 't0'].map(async (name) => writeFile(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0')))
    const child = spawn('python3', [SWITCH, 't0', String(seed)], { stdio: ['pipe', 'pipe', 'inherit'] })
    const ended = Promise.race([once(child, 'error').then(([error]) => Promise.reject(error)), once(child, 'close')])
    const ready = await Promise.race([once(child.stdout, 'data'), ended.then(() => undefined)])
    if (ready == null) {
      throw new Error('the switch ended')
    }
    ended.catch(() => undefined)
    this.#switch = child
  }
}

function subnetOf(index: number): string {
  return `10.77.${index + 1}`
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args)
}
