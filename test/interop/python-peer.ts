import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ForeignLab } from './foreign-peer.ts'
import { PYTHON } from './python-environment.ts'

const PEER = fileURLToPath(new URL('peer.py', import.meta.url))

/** What a Python peer is. It answers identify and ping in any case. */
export interface PeerInit {
  /** @default ed25519 */
  key: 'ed25519' | 'secp256k1' | 'rsa'
  /** Answers tasks. */
  tasks: boolean
  /** A client asks and is not asked. */
  dht: 'SERVER' | 'CLIENT'
  gossip: boolean
}

/** py-libp2p peers: peer.py says what they can be told and what they tell. */
export class PythonLab extends ForeignLab<PeerInit> {
  constructor() {
    super({ name: 'Python', command: pythonCommand })
  }
}

async function pythonCommand(init: Partial<PeerInit>): Promise<[string, ...string[]]> {
  if (!existsSync(PYTHON)) {
    throw new Error('there is no virtualenv: npm run test:interop -- python makes it')
  }
  return [PYTHON, '-I', PEER, JSON.stringify(init)]
}
