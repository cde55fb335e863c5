import type { Connection } from '@libp2p/interface'
import { remoteHostOf } from './remote-host.ts'

/** An IPv4 address or an IPv6 /64 with inbound connections. */
export interface Host {
  name: string
  /** True if the share applies to this host. */
  counted: boolean
  open: number
  pending: number
}

/** Counts inbound connections by host. */
export class Hosts {
  readonly #countLocal: boolean
  readonly #hosts = new Map<string, Host>()

  /** @param init `countLocal` applies the share to loopback too */
  constructor({ countLocal }: { countLocal: boolean }) {
    this.#countLocal = countLocal
  }

  of({ remoteAddr }: Pick<Connection, 'remoteAddr'>): Host {
    const { name, local } = remoteHostOf(remoteAddr)
    const found = this.#hosts.get(name) ?? { name, counted: !local || this.#countLocal, open: 0, pending: 0 }
    this.#hosts.set(name, found)
    return found
  }

  forgetIfEmpty({ name, open, pending }: Host): void {
    if (open + pending === 0) {
      this.#hosts.delete(name)
    }
  }

  /** The host with the highest count. The first one wins a tie. */
  greediest(count: (host: Host) => number): Host | undefined {
    let greediest: Host | undefined
    for (const host of this.#hosts.values()) {
      if (greediest == null || count(host) > count(greediest)) {
        greediest = host
      }
    }
    return greediest
  }
}
