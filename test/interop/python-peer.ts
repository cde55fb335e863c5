import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ForeignLab } from './foreign-peer.ts'
import { PYTHON } from './python-environment.ts'

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
    super({ name: 'Python', command: async (init) => pythonCommand('peer.py', init) })
  }
}

/** A program of this folder. It may import the others, and leaves no compiled files beside them. @throws where there is no virtualenv */
export async function pythonCommand(program: string, init: object): Promise<[string, ...string[]]> {
  if (!existsSync(PYTHON)) {
    throw new Error('there is no virtualenv: npm run test:interop -- python makes it')
  }
  return [PYTHON, '-E', '-s', '-B', fileURLToPath(new URL(program, import.meta.url)), JSON.stringify(init)]
}
