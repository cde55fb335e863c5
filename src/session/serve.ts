import type { PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { ChainError, NoSubnetError } from '../chain/registry.ts'
import { composeNode } from '../node/compose.ts'
import { loadProtocols } from '../node/handlers/protocol-modules.ts'
import { handlerProblem, loadHandler } from '../node/handlers/task-handlers.ts'
import { DEFAULT_LISTEN, type Settings } from '../node/home/config.ts'
import { ensureHome, type Home } from '../node/home/home.ts'
import { loadIdentity } from '../node/home/identity.ts'
import { HomeLock } from '../node/home/lock.ts'
import { hasNetwork } from '../node/stack/own-addresses.ts'
import type { NodeEvents, SubnetNode } from '../node/subnet-node.ts'
import type { Logger } from '../observe/logger.ts'
import { peerIdOf } from '../primitives/address.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import { streamedLimit } from '../protocol/api/limits.ts'
import { AddressPublisher, checkPublishing } from './address-publisher.ts'
import { ControlServer } from './control/control-server.ts'
import { isOfType } from './event-types.ts'
import { Journal } from './journal.ts'
import type { MetricsEndpoint } from './metrics/metrics-endpoint.ts'
import { NodeSession } from './node-session.ts'
import type { EventsOptions, NodeEvent, Session } from './session.ts'
import { StateWatch } from './state-watch.ts'

export interface ServeInit {
  home: Home
  settings: Settings
  agent: string
  log: Logger
  /** The user agreed that publishing may cost fees. */
  paysFees?: boolean | undefined
}

export interface RunningNode {
  readonly ready: NodeEvent
  /** The session on this node; open while the node runs. */
  readonly session: Session
  /** Resolves when the node has stopped for any reason. */
  readonly stopped: Promise<void>
  /** Adds a listener for all events; the first listener also receives the earlier events. */
  onEvent(listener: (event: NodeEvent) => void): void
  offEvent(listener: (event: NodeEvent) => void): void
  /** Called when the node begins to stop for any reason. */
  onStopping(listener: () => void): void
  /** Disconnects from peers, closes all resources and releases the home. May be called twice. */
  stop(): Promise<void>
}

const ANY_PORT = '/ip4/0.0.0.0/tcp/0'
const EVENTS = ['peer:connect', 'peer:disconnect', 'heartbeat', 'task', 'resolve', 'refusal'] as const satisfies Array<keyof NodeEvents>

/** Runs the node of a home, and serves commands. @throws NodeError ALREADY_RUNNING, UsageError, ChainError */
export async function serve(init: ServeInit): Promise<RunningNode> {
  const { home, settings, log } = init
  await checkPublishing(settings, init.paysFees === true, async () => {
    await ensureHome(home)
    return peerIdFromPublicKey((await loadIdentity(home, settings.key)).publicKey)
  })
  await ensureHome(home)
  const handler =
    settings.handler == null
      ? undefined
      : await loadHandler(settings.handler, { timeoutMs: settings.taskTimeout, maxOutputBytes: streamedLimit(settings.maxFrameBytes) })
  const problem = settings.handler == null ? undefined : await handlerProblem(settings.handler)
  if (problem != null) {
    log.scoped('session').warn(problem)
  }
  const protocols = await loadProtocols(settings.protocol)
  const lock = await HomeLock.acquire(home)
  const journal = new Journal()
  let metrics: MetricsEndpoint | undefined
  try {
    const privateKey = await loadIdentity(home, settings.key, { timeoutMs: settings.timeout })
    checkOwn(peerIdFromPublicKey(privateKey.publicKey), settings)
    metrics = await openMetrics(settings)
    const compose = async (listen: string[]): Promise<SubnetNode> => {
      const node = await composeNode({
        home,
        settings,
        privateKey,
        handler,
        agent: init.agent,
        log,
        listen,
        metrics: metrics?.forNewNode(),
      })
      try {
        for (const construct of protocols) {
          await construct(node)
        }
      } catch (error) {
        await node.stop()
        throw error
      }
      follow(node, journal)
      return node
    }
    const node = await startListening(compose, settings.listen, log.scoped('session'))
    try {
      // detects an invalid chain now instead of at the first lookup
      await node.registry.lookup(node.peerId).catch((error) => unlessLater(error, node.registry.namedOver, log.scoped('session')))
      // logs if other peers would not admit this node
      await node.ownRefusal()
      return await Running.open(init, { node, lock, journal, metrics })
    } catch (error) {
      await node.stop()
      throw error
    }
  } catch (error) {
    metrics?.close()
    await lock.release()
    throw error
  }
}

/** Opens the metrics endpoint; its module is loaded only if the setting is present. @throws UsageError for a port in use */
async function openMetrics({ metrics }: Settings): Promise<MetricsEndpoint | undefined> {
  return metrics == null ? undefined : (await import('./metrics/metrics-endpoint.ts')).MetricsEndpoint.open(metrics)
}

/** Ignores a missing subnet or network: either may appear later, and the node waits. @throws any other error */
function unlessLater(error: unknown, namedOver: NamedOver, log: Logger): void {
  if (error instanceof NoSubnetError) {
    return
  }
  const isElsewhere = !['loopback', 'trusted'].includes(namedOver)
  if (!(error instanceof ChainError && isElsewhere && !hasNetwork())) {
    throw error
  }
  log.warn('this machine has no network yet: the node starts without its chain', error)
}

/** @throws UsageError for an address that ends in the ID of another peer */
function checkOwn(peerId: PeerId, { listen, announce }: Settings): void {
  const other = [...listen, ...announce].find((address) => {
    const named = peerIdOf(multiaddr(address))
    return named != null && !named.equals(peerId)
  })
  if (other != null) {
    throw new UsageError(`${other} is the address of another peer`, { hint: `this peer is ${peerId.toString()}; leave out /p2p/…` })
  }
}

/** Listens at the user's addresses or at the default; if the default port is taken, at any free port. */
async function startListening(compose: (listen: string[]) => Promise<SubnetNode>, listen: string[], log: Logger): Promise<SubnetNode> {
  const named = listen.length > 0
  const node = await compose(named ? listen : [DEFAULT_LISTEN])
  try {
    await node.start()
    return node
  } catch (cause) {
    await node.stop()
    if (named || !isAddressInUse(cause)) {
      throw new UsageError(
        `cannot listen on ${(named ? refusedOf(listen, cause) : [DEFAULT_LISTEN]).join(', ')}: ${reasonNotToListen(cause)}`,
        {
          cause,
          hint: `give another --listen, like ${DEFAULT_LISTEN}; port 0 picks a free port`,
        },
      )
    }
    log.warn(`${DEFAULT_LISTEN} is taken: listening on a free port`)
    const other = await compose([ANY_PORT])
    await other.start().catch(async (error) => {
      await other.stop()
      throw error
    })
    return other
  }
}

/** The addresses on which libp2p failed to listen; its message names each address before the reason. */
function refusedOf(listen: string[], error: unknown): string[] {
  const text = describeError(error)
  const refused = listen.filter((address) => text.includes(`${multiaddr(address).toString()}: `))
  return refused.length === 0 ? listen : refused
}

/** The reason why libp2p cannot listen. libp2p joins the stack traces of all failures into one message. */
function reasonNotToListen(error: unknown): string {
  const text = describeError(error)
  const [code] = /\bE[A-Z]{4,}\b/.exec(text) ?? []
  const reasons: Record<string, string> = {
    EADDRINUSE: 'the port is taken',
    EADDRNOTAVAIL: 'this machine has no such address',
    EACCES: 'permission denied',
  }
  // the missing part of QUIC support
  const [missing] = /\bQUIC needs the optional package \S+, which (is not installed|has no binary for \S+ \S+)/.exec(text) ?? []
  return code == null ? (missing ?? text) : `${reasons[code] ?? 'refused by the system'} (${code})`
}

function isAddressInUse(error: unknown): boolean {
  return (
    error instanceof Error &&
    (/EADDRINUSE/.test(error.message) ||
      isAddressInUse(error.cause) ||
      (error instanceof AggregateError && error.errors.some(isAddressInUse)))
  )
}

/** Records the node's events. */
function follow(node: SubnetNode, journal: Journal): void {
  for (const event of EVENTS) {
    node.on(event, (about: object) => journal.tell(event, about))
  }
}

interface RunningParts {
  node: SubnetNode
  lock: HomeLock
  journal: Journal
  metrics: MetricsEndpoint | undefined
}

class Running implements RunningNode {
  readonly ready: NodeEvent
  readonly session: NodeSession
  readonly stopped: Promise<void>
  readonly #parts: RunningParts
  readonly #control: ControlServer
  readonly #publisher: AddressPublisher | undefined
  readonly #watch: StateWatch
  /** Aborts after the node's last event. */
  readonly #told = new AbortController()
  readonly #stopping = Promise.withResolvers<void>()

  static async open(init: ServeInit, parts: RunningParts): Promise<Running> {
    const running = new Running(init, parts)
    running.#watch.start()
    await running.#control.listen({ home: init.home, holdsHome: async () => parts.lock.hold(), log: init.log.scoped('session') })
    parts.metrics?.follow(running.session)
    return running
  }

  private constructor({ home, settings, agent, log }: ServeInit, parts: RunningParts) {
    const { node } = parts
    this.#parts = parts
    this.stopped = this.#stopping.promise.then(async () => this.#stop())
    // stops the node only after the answer has left
    this.session = new NodeSession({
      node,
      home,
      settings,
      agent,
      publishProblem: () => this.#publisher?.problem,
      events: (options) => this.#events(options),
      onSent: (task) => parts.journal.tell('task:sent', task),
      stop: () => setImmediate(() => this.#stopping.resolve()),
    })
    this.ready = {
      event: 'ready',
      atMs: Date.now(),
      peerId: node.peerId.toString(),
      multiaddrs: node.multiaddrs.map(String),
      subnetId: settings.subnetId,
      home: home.path,
      pid: process.pid,
      ...(parts.metrics == null ? {} : { metrics: parts.metrics.url }),
    }
    this.#control = new ControlServer(this.session)
    this.#watch = new StateWatch({
      node,
      problems: async () => this.session.problems(),
      tell: (event, about) => parts.journal.tell(event, about),
    })
    if (settings.publish) {
      const { registry } = node
      const publisher = new AddressPublisher({
        registry,
        settings,
        peerId: node.peerId,
        log: log.scoped('session'),
        addresses: () => node.multiaddrs,
      })
      node.on('addresses', () => publisher.changed())
      publisher.changed()
      this.#publisher = publisher
    }
  }

  onEvent(listener: (event: NodeEvent) => void): void {
    this.#parts.journal.on(listener)
  }

  offEvent(listener: (event: NodeEvent) => void): void {
    this.#parts.journal.off(listener)
  }

  async *#events(options: EventsOptions): AsyncGenerator<NodeEvent[]> {
    const signal = AbortSignal.any([this.#told.signal, ...(options.signal == null ? [] : [options.signal])])
    const following = this.#parts.journal.follow({ ...options, signal })
    if (isOfType(this.ready, new Set(options.types))) {
      yield [this.ready]
    }
    yield* following
  }

  onStopping(listener: () => void): void {
    void this.#stopping.promise.then(listener)
  }

  async stop(): Promise<void> {
    this.#stopping.resolve()
    return this.stopped
  }

  async #stop(): Promise<void> {
    const { node, lock, journal, metrics } = this.#parts
    metrics?.follow(undefined)
    this.#watch.stop()
    journal.tell('stopping', {})
    this.#told.abort()
    this.#control.refuse()
    await this.#publisher?.stop()
    await node.stop()
    await this.#control.drained()
    await lock.release()
    metrics?.close()
    this.#control.destroy()
  }
}
