import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../../observe/logger.ts'
import type { Network } from './network.ts'
import { speaksTemplate } from './network-of.ts'

const FLAG = '--network template'

/** Detects that a native node met a template peer, with which it shares neither gossip nor DHT. Reports it once. */
export class OtherNetwork {
  readonly #network: Network
  readonly #init: { serves: boolean; log: Logger }
  #met: string | undefined

  /** @param network of this node */
  constructor(network: Network, init: { serves: boolean; log: Logger }) {
    this.#network = network
    this.#init = init
  }

  /** Call with the protocols of each identified peer. */
  meet(peerId: PeerId, protocols: string[]): void {
    if (this.#network === 'template' || this.#met != null || !speaksTemplate(protocols)) {
      return
    }
    this.#met = peerId.toString()
    // a command that calls such a peer needs only its address
    this.#init.log[this.#init.serves ? 'warn' : 'debug'](this.notices.join())
  }

  get notices(): string[] {
    return this.#met == null
      ? []
      : [
          `${this.#met} is a node of Hypertensor's Python template, but this node runs in a native network, so they share no gossip ` +
            `and no DHT; "subnet start ${FLAG}" runs a node in that network`,
        ]
  }

  /** Advice if a peer was not found. */
  get hint(): string | undefined {
    return this.#met == null ? undefined : `${this.#met} is a node of Hypertensor's Python template: ${FLAG} looks in that network too`
  }
}
