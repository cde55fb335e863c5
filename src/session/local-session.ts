import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { ChainRecord, ChainRegistry } from '../chain/registry.ts'
import type { Settings } from '../node/config.ts'
import { NodeError } from '../node/errors.ts'
import { ensureHome, type Home } from '../node/home.ts'
import { loadIdentity } from '../node/identity.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import { parseMultiaddr, parsePeerTarget } from '../primitives/address.ts'
import { withDeadline } from '../primitives/deadline.ts'
import type { Logger } from '../primitives/log.ts'
import { ResolveError } from '../resolve/resolver.ts'
import type { NodeCalls } from './node-calls.ts'
import type { ChainAnswer, ConnectAnswer, PeerRow, PingAnswer, ResolveAnswer, Session, SessionOptions, TaskAnswer } from './session.ts'

export interface LocalSessionInit {
  home: Home
  settings: Settings
  agent: string
  log: Logger
}

/** How long a command waits for its first bootstrap connection: the neighbour tier's budget. */
const BOOTSTRAP_WAIT_MS = 3_000

/**
 * A session with a node of its own, in this process: the home's identity, address book, bootstraps and chain, not
 * listening, telling nobody. The node is started by the first call that needs one.
 */
export class LocalSession implements Session {
  readonly #init: LocalSessionInit
  #identity: Promise<PrivateKey> | undefined
  #node: Promise<{ node: SubnetNode; calls: NodeCalls }> | undefined
  #registry: Promise<ChainRegistry> | undefined

  constructor(init: LocalSessionInit) {
    this.#init = init
  }

  async id(): Promise<{ peerId: string; multiaddrs: string[] }> {
    const { publicKey } = await this.#loadIdentity()
    return { peerId: peerIdFromPublicKey(publicKey).toString(), multiaddrs: [] }
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const { node, calls } = await this.#start()
    await node.bootstrapped(withDeadline(options.signal, BOOTSTRAP_WAIT_MS) as AbortSignal)
    return calls.peers(options)
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    parsePeerTarget(peer)
    return (await this.#start()).calls.resolve(peer, options)
  }

  async sendTask(peer: string, task: { taskId: string; payload: Uint8Array }, options: SessionOptions = {}): Promise<TaskAnswer> {
    parsePeerTarget(peer)
    return (await this.#start()).calls.sendTask(peer, task, options)
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    return (await this.#start()).calls.connect(multiaddr, options)
  }

  async ping(peer: string, options: SessionOptions & { count?: number } = {}): Promise<PingAnswer> {
    parsePeerTarget(peer)
    return (await this.#start()).calls.ping(peer, options)
  }

  async chainLookup(peer: string, options: SessionOptions = {}): Promise<ChainAnswer> {
    const { peerId } = parsePeerTarget(peer)
    const record = await (await this.#openRegistry()).lookup(peerId, { signal: withDeadline(options.signal, options.timeoutMs) })
    if (record == null) {
      throw new ResolveError('PEER_NOT_FOUND', `the chain has no address of ${peerId.toString()}`, [], {
        hint: 'a peer puts its addresses there with "subnet chain publish" or "subnet start --publish"',
      })
    }
    return toAnswer(record)
  }

  async chainList(options: SessionOptions = {}): Promise<ChainAnswer[]> {
    const records = await (await this.#openRegistry()).list({ signal: withDeadline(options.signal, options.timeoutMs) })
    return records.map(toAnswer)
  }

  async chainPublish(multiaddrs: string[], options: SessionOptions = {}): Promise<ChainAnswer> {
    if (multiaddrs.length === 0) {
      throw new NodeError('NOT_RUNNING', 'there is no running node whose addresses could be published', {
        hint: 'name them: subnet chain publish MULTIADDR…, or let the node do it: subnet start --publish',
      })
    }
    const registry = await this.#openRegistry()
    return toAnswer(await registry.publish(multiaddrs.map(parseMultiaddr), { signal: withDeadline(options.signal, options.timeoutMs) }))
  }

  async chainRemove(options: SessionOptions = {}): Promise<{ peerId: string; removed: boolean }> {
    const registry = await this.#openRegistry()
    const removed = await registry.remove({ signal: withDeadline(options.signal, options.timeoutMs) })
    return { peerId: (await this.id()).peerId, removed }
  }

  async close(): Promise<void> {
    const started = await this.#node?.catch(() => undefined)
    await started?.node.stop()
    const registry = await this.#registry?.catch(() => undefined)
    await registry?.close()
  }

  async #loadIdentity(): Promise<PrivateKey> {
    const { home, settings } = this.#init
    this.#identity ??= ensureHome(home).then(async () => loadIdentity(home, settings.key))
    return this.#identity
  }

  async #openRegistry(): Promise<ChainRegistry> {
    this.#registry ??= (async () => {
      const privateKey = await this.#loadIdentity()
      const { openRegistry } = await import('../node/open-registry.ts')
      return openRegistry({ ...this.#init, privateKey })
    })()
    return this.#registry
  }

  async #start(): Promise<{ node: SubnetNode; calls: NodeCalls }> {
    this.#node ??= (async () => {
      const { home, settings, agent, log } = this.#init
      const privateKey = await this.#loadIdentity()
      // libp2p takes longer to load than most of what is done with it
      const [{ composeNode }, { NodeCalls }] = await Promise.all([import('../node/compose.ts'), import('./node-calls.ts')])
      const node = await composeNode({ home, settings, privateKey, listen: [], agent, log })
      await node.start()
      return { node, calls: new NodeCalls(node) }
    })()
    return this.#node
  }
}

function toAnswer({ peerId, multiaddrs, verified, block }: ChainRecord): ChainAnswer {
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), verified, block }
}
