import type { DatabaseSync } from 'node:sqlite'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { ChainRegistry } from '../chain/registry.ts'
import { AddressBook } from '../gossip/address-book.ts'
import { Aliases, targetOf } from '../node/home/aliases.ts'
import type { Settings } from '../node/home/config.ts'
import { notRunning } from '../node/home/errors.ts'
import { ensureHome, type Home } from '../node/home/home.ts'
import { openHomeDatabase } from '../node/home/home-database.ts'
import { loadIdentity } from '../node/home/identity.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import type { Logger } from '../observe/logger.ts'
import { parsePeerMultiaddr } from '../primitives/address.ts'
import { AliasCalls } from './alias-calls.ts'
import type {
  ActivityAnswer,
  BenchAnswer,
  ConnectAnswer,
  DisconnectAnswer,
  IdAnswer,
  PeerRow,
  PingAnswer,
  ResolveAnswer,
  StatusAnswer,
  StopAnswer,
  TaskAnswer,
} from './answers.ts'
import { ChainCalls } from './chain-calls.ts'
import type { NodeSession } from './node-session.ts'
import type { BenchPlan, NodeEvent, ProtocolSession, Session, SessionOptions, TaskInput } from './session.ts'

export interface LocalSessionInit {
  home: Home
  settings: Settings
  agent: string
  log: Logger
}

/** How long a command waits for its first bootstrap connection: the neighbour tier's budget. */
const BOOTSTRAP_WAIT_MS = 3_000

/**
 * A session with its own node in this process. The node has the home's identity, address book, bootstraps and chain. It does not
 * listen and does not announce itself. The first call that needs a node starts it.
 */
export class LocalSession implements Session {
  readonly aliases: AliasCalls
  readonly chain: ChainCalls
  readonly protocols: ProtocolSession
  readonly #init: LocalSessionInit
  #identity: Promise<PrivateKey> | undefined
  #node: Promise<{ node: SubnetNode; session: NodeSession }> | undefined
  #registry: Promise<ChainRegistry> | undefined
  #database: Promise<DatabaseSync> | undefined

  constructor(init: LocalSessionInit) {
    const aliases = async (): Promise<Aliases> => this.#openAliases()
    this.#init = init
    const self = async (): Promise<PeerId> => peerIdFromPublicKey((await this.#loadIdentity()).publicKey)
    this.aliases = new AliasCalls({ aliases, self })
    this.chain = new ChainCalls({
      registry: async () => this.#openRegistry(),
      aliases,
      self,
      ownAddresses: () => [],
      settings: init.settings,
    })
    this.protocols = this.#protocolCalls()
  }

  async id(): Promise<IdAnswer> {
    const { publicKey } = await this.#loadIdentity()
    return { peerId: peerIdFromPublicKey(publicKey).toString(), multiaddrs: [] }
  }

  async settings(): Promise<undefined> {
    return undefined
  }

  async status(): Promise<StatusAnswer> {
    throw notRunning(this.#init.home)
  }

  async activity(): Promise<ActivityAnswer> {
    throw notRunning(this.#init.home)
  }

  async stop(): Promise<StopAnswer> {
    throw notRunning(this.#init.home)
  }

  // biome-ignore lint/correctness/useYield: there is nothing to follow
  async *events(): AsyncGenerator<NodeEvent[]> {
    throw notRunning(this.#init.home)
  }

  async disconnect(): Promise<DisconnectAnswer> {
    throw notRunning(this.#init.home)
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const { node, session } = await this.#start()
    await node.bootstrappedWithin(BOOTSTRAP_WAIT_MS, options.signal)
    return session.peers(options)
  }

  async *watchPeers(options: SessionOptions & { all?: boolean } = {}): AsyncGenerator<PeerRow[]> {
    yield* (await this.#start()).session.watchPeers(options)
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    const target = await this.#target(peer)
    return (await this.#start()).session.resolve(target, options)
  }

  async sendTask(peer: string, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    const target = await this.#target(peer)
    return (await this.#start()).session.sendTask(target, task, options)
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    parsePeerMultiaddr(multiaddr)
    return (await this.#start()).session.connect(multiaddr, options)
  }

  async ping(peer: string, options: SessionOptions = {}): Promise<PingAnswer> {
    const target = await this.#target(peer)
    return (await this.#start()).session.ping(target, options)
  }

  async *bench(peer: string, plan: BenchPlan, options: SessionOptions = {}): AsyncGenerator<BenchAnswer> {
    const target = await this.#target(peer)
    yield* (await this.#start()).session.bench(target, plan, options)
  }

  async close(): Promise<void> {
    const started = await this.#node?.catch(() => undefined)
    await started?.node.stop()
    const registry = await this.#registry?.catch(() => undefined)
    await registry?.close()
    const database = await this.#database?.catch(() => undefined)
    database?.close()
  }

  #protocolCalls(): ProtocolSession {
    const startFor = async (peer: string): Promise<{ protocols: ProtocolSession; target: string }> => {
      const target = await this.#target(peer)
      return { protocols: (await this.#start()).session.protocols, target }
    }
    return {
      list: async (peer, options) => {
        const { protocols, target } = await startFor(peer)
        return protocols.list(target, options)
      },
      describe: async (peer, protocolId, options) => {
        const { protocols, target } = await startFor(peer)
        return protocols.describe(target, protocolId, options)
      },
      async *call(peer, input, options) {
        const { protocols, target } = await startFor(peer)
        yield* protocols.call(target, input, options)
      },
    }
  }

  /** The peer ID or multiaddr of a named peer. @throws UsageError, before a node is started */
  async #target(peer: string): Promise<string> {
    const { peerId, multiaddr } = await targetOf(peer, async () => this.#openAliases())
    return (multiaddr ?? peerId).toString()
  }

  async #loadIdentity(): Promise<PrivateKey> {
    const { home, settings } = this.#init
    this.#identity ??= ensureHome(home).then(async () => loadIdentity(home, settings.key, { timeoutMs: settings.timeout }))
    return this.#identity
  }

  async #openAliases(): Promise<Aliases> {
    const { home } = this.#init
    this.#database ??= (async () => {
      await ensureHome(home)
      return openHomeDatabase(home)
    })()
    const database = await this.#database
    return new Aliases(database, new AddressBook(database))
  }

  async #openRegistry(): Promise<ChainRegistry> {
    this.#registry ??= (async () => {
      const privateKey = await this.#loadIdentity()
      const { openRegistry } = await import('../node/open-registry.ts')
      return openRegistry({ ...this.#init, privateKey })
    })()
    return this.#registry
  }

  async #start(): Promise<{ node: SubnetNode; session: NodeSession }> {
    this.#node ??= (async () => {
      const { home, settings, agent, log } = this.#init
      const privateKey = await this.#loadIdentity()
      const { composeNode, NodeSession } = await import('./in-process-node.ts')
      const node = await composeNode({ home, settings, privateKey, listen: [], agent, log })
      const session = new NodeSession({ ...this.#init, node, stop: () => undefined })
      await node.start()
      return { node, session }
    })()
    return this.#node
  }
}
