import { NetworkNamespace } from './network-namespace.ts'

/**
 * How a router behaves. `keeps ports`: what goes out keeps its port, and what nobody asked for is dropped. `answers RST`: the same, but that is refused.
 * `symmetric`: what goes out gets a port by chance, another for each destination. `full cone`: everything that comes goes to the machine inside.
 */
export const NATS = ['keeps ports', 'answers RST', 'symmetric', 'full cone'] as const
export type Nat = (typeof NATS)[number]

/** A machine behind a router. */
export interface Household {
  machine: NetworkNamespace
  router: NetworkNamespace
  /** Of the router, outside. */
  ip: string
  /** The first three numbers of the network inside: the router has 1, the machine 2. */
  inside: string
}

/**
 * An internet of its own: machines with addresses that look public, and machines behind routers that masquerade and drop what nobody asked for. It leads
 * nowhere else. Needs `nft`.
 */
export class NatLab {
  readonly #world: NetworkNamespace
  readonly #inner: NetworkNamespace[] = []
  #count = 0

  private constructor(world: NetworkNamespace) {
    this.#world = world
  }

  static async open(): Promise<NatLab> {
    const world = await NetworkNamespace.open()
    const lab = new NatLab(world)
    await world.ip('link', 'add', 'hub', 'type', 'bridge')
    await world.ip('link', 'set', 'hub', 'up')
    return lab
  }

  /** A machine that everybody reaches, at `45.79.0.<n>`. */
  async machine(): Promise<{ network: NetworkNamespace; ip: string }> {
    const network = await this.#another()
    return { network, ip: await this.#connect(network) }
  }

  /** A machine at `10.<n>.0.2`, behind a router. */
  async behindRouter(nat: Nat = 'keeps ports'): Promise<NetworkNamespace> {
    return (await this.household(nat)).machine
  }

  /** The same, with its router. */
  async household(nat: Nat = 'keeps ports'): Promise<Household> {
    const machine = await this.#another()
    return this.plugIn(machine, nat)
  }

  /** Takes a machine out of its network: its connections break, and nobody is told. */
  async unplug(machine: NetworkNamespace): Promise<void> {
    await machine.ip('link', 'del', 'e0')
  }

  /** Puts a machine without a network behind a router of its own, at `10.<n>.0.2`. */
  async plugIn(machine: NetworkNamespace, nat: Nat = 'keeps ports'): Promise<Household> {
    const router = await this.#another()
    const ip = await this.#connect(router)
    const inside = `10.${this.#count}.0`
    await router.ip('link', 'add', 'i0', 'type', 'veth', 'peer', 'name', 'm0')
    await router.ip('link', 'set', 'i0', 'up')
    await router.ip('address', 'add', `${inside}.1/24`, 'dev', 'i0')
    await router.give('m0', machine, 'e0')
    await machine.addAddress(`${inside}.2/24`)
    await machine.ip('route', 'add', 'default', 'via', `${inside}.1`)
    await router.shell('echo 1 > /proc/sys/net/ipv4/ip_forward')
    const how = nat === 'symmetric' ? 'masquerade fully-random' : 'masquerade'
    await router.nft(`table ip n { chain post { type nat hook postrouting priority 100; oifname "e0" ${how}; }; }`)
    if (nat === 'full cone') {
      await router.nft(
        `table ip c { chain pre { type nat hook prerouting priority -100; iifname "e0" tcp dport 1024-65535 dnat to ${inside}.2; }; }`,
      )
      return { machine, router, ip, inside }
    }
    const refusal = nat === 'answers RST' ? 'reject with tcp reset' : 'drop'
    await router.nft(
      `table ip f { chain inp { type filter hook input priority 0; iifname "e0" meta l4proto tcp ct state new ${refusal}; }; }`,
    )
    await router.nft('table ip g { chain fw { type filter hook forward priority 0; iifname "e0" ct state new drop; }; }')
    return { machine, router, ip, inside }
  }

  async close(): Promise<void> {
    for (const network of this.#inner.toReversed()) {
      await network.close()
    }
    await this.#world.close()
  }

  async #another(): Promise<NetworkNamespace> {
    const network = await this.#world.another()
    this.#inner.push(network)
    return network
  }

  /** Gives a network its `e0`, and its address. */
  async #connect(network: NetworkNamespace): Promise<string> {
    const n = ++this.#count
    await this.#world.ip('link', 'add', `h${n}`, 'type', 'veth', 'peer', 'name', `w${n}`)
    await this.#world.ip('link', 'set', `h${n}`, 'master', 'hub', 'up')
    await this.#world.give(`w${n}`, network, 'e0')
    const ip = `45.79.0.${n}`
    await network.addAddress(`${ip}/24`)
    return ip
  }
}
