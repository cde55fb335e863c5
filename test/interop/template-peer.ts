import { ForeignLab } from './foreign-peer.ts'
import { type PeerInit, pythonCommand } from './python-peer.ts'

/** Where it gossips. */
export const TOPIC = 'peer_state'
/** A start that takes no longer than it must: the template itself waits 10 s for others, and asks once a second. */
export const SYNC = { minPeers: 1, settleMs: 200, pollMs: 100 }

/** What a node of the template is. It answers identify, ping, tasks, its DHT and DAG sync in any case. */
export interface TemplateInit {
  key: PeerInit['key']
  /** It asks nobody for a DAG, and tells no state. */
  bootnode: boolean
  /** It connects to them first. */
  bootstrap: string[]
  /** Who is registered on its chain. @default everybody */
  allow: string[]
  /** Its first message of gossip has an extensions message of gossipsub 1.3. */
  extensions: boolean
  /** Between two states that it tells. @default 20,000 */
  publishMs: number
  /** How it starts; false: it tells its state at once, and asks nobody before. */
  sync: false | { minPeers?: number; waitMs?: number; settleMs?: number; pollMs?: number }
}

/** Nodes of Hypertensor's Python template, on py-libp2p: template.py says what they can be told and what they tell. */
export class TemplateLab extends ForeignLab<TemplateInit> {
  constructor() {
    super({ name: 'template', command: async (init) => pythonCommand('template.py', { sync: SYNC, publishMs: 500, ...init }) })
  }
}
