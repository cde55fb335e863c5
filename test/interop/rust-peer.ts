import { generateKeyPairSync } from 'node:crypto'
import { builtProgram } from './built-peer.ts'
import { ForeignLab } from './foreign-peer.ts'
import { RUST_PEER } from './rust-environment.ts'

/** What a Rust peer is. It answers identify and ping in any case. */
export interface RustPeerInit {
  /** @default ed25519 */
  key: 'ed25519' | 'secp256k1' | 'rsa' | 'ecdsa'
  /** Answers tasks. */
  tasks: boolean
  /** A client asks and is not asked. */
  dht: 'server' | 'client'
  gossip: boolean
  /** Identify tells a signed record, of the kind that only rust-libp2p reads. @default false, as rust-libp2p has it */
  signedRecord: boolean
  /** @default ['/ip4/127.0.0.1/tcp/0'] */
  listen: string[]
  /** Its first bytes on a stream leave with the protocol's id, before the other side has agreed to it. @default false, as rust-libp2p has it */
  lazy: boolean
  /** Relays for others, with the limits of rust-libp2p. */
  relay: boolean
}

/** rust-libp2p makes no RSA keys. */
function pkcs8(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  return privateKey.export({ type: 'pkcs8', format: 'der' }).toString('hex')
}

/** rust-libp2p peers: rust/src/main.rs says how they are driven. */
export class RustLab extends ForeignLab<RustPeerInit> {
  constructor() {
    super({
      name: 'Rust',
      command: async (init) => [await builtProgram(RUST_PEER), JSON.stringify(init.key === 'rsa' ? { ...init, pkcs8: pkcs8() } : init)],
    })
  }
}
