import { builtProgram } from './built-peer.ts'
import { ForeignLab } from './foreign-peer.ts'
import { GO_PEER } from './go-environment.ts'

/** What a Go peer is. It answers identify and ping in any case. */
export interface GoPeerInit {
  /** @default ed25519 */
  key: 'ed25519' | 'secp256k1' | 'rsa' | 'ecdsa'
  /** Answers tasks. */
  tasks: boolean
  /** A client asks and is not asked. */
  dht: 'server' | 'client'
  gossip: boolean
  /** @default ['/ip4/127.0.0.1/tcp/0'] */
  listen: string[]
  /** The only one that it has. @default both, as go-libp2p has it */
  security: 'noise' | 'tls'
  /** How many streams of one protocol a peer may have open with it. @default the limits of go-libp2p, by the memory of the machine */
  streams: number
  /** Relays for others, with the limits of go-libp2p. */
  relay: boolean
  /** Speaks DCUtR. */
  holePunching: boolean
}

/** go-libp2p peers: go/main.go says how they are driven. */
export class GoLab extends ForeignLab<GoPeerInit> {
  /** @param within before a command it makes the command run somewhere else */
  constructor(within: string[] = []) {
    const command = async (init: Partial<GoPeerInit>): Promise<[string, ...string[]]> => {
      const [program = '', ...args] = [...within, await builtProgram(GO_PEER), JSON.stringify(init)]
      return [program, ...args]
    }
    super({ name: 'Go', command })
  }
}
