import type { ChainRegistry } from '../chain/registry.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { parseMultiaddr } from '../primitives/address.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import type { StreamingTaskHandler, TaskHandler } from '../protocol/builtin/task.ts'
import type { Tier } from '../resolve/tier.ts'
import { composeNode } from './compose.ts'
import type { NetworkInterfaces } from './dial/dial-policy.ts'
import type { RawSettings } from './home/config.ts'
import { ensureHome, homeAt } from './home/home.ts'
import { loadIdentity } from './home/identity.ts'
import { loadSettings } from './home/load-settings.ts'
import { HomeLock } from './home/lock.ts'
import { embeddedLogger } from './home/stderr-logger.ts'
import type { StackTransport } from './stack/create-libp2p.ts'
import type { SubnetNode } from './subnet-node.ts'

/** A transport besides TCP. The dial policy and the dial budgets apply to its dials too. */
export interface NodeTransport {
  /** A factory as accepted by `createLibp2p`, for example `webSockets()`. */
  transport: StackTransport
  /** Multiaddrs to listen on. @default none: the node only dials */
  listen?: readonly string[]
}

/** Options of {@link createNode}. */
export interface CreateNodeOptions {
  /** The home directory of the node. Created if missing. */
  home: string
  /**
   * Settings as on the command line and in config.json, in camelCase: `listen`, `bootstrap`, `subnetId`, `chain`, `heartbeatInterval` and
   * others.
   * `portMapping` is off unless set here or in config.json: a library should not query the router, by multicast, without consent.
   */
  settings?: RawSettings
  /** Answers tasks. Without a handler, tasks are rejected. */
  handler?: TaskHandler | StreamingTaskHandler
  /** Wrap every call and every request of the node. The first interceptor is the outermost. */
  interceptors?: readonly Interceptor[]
  /** Additional tiers. Their `order` places them among the built-in tiers. */
  tiers?: readonly Tier[]
  /** A custom chain registry instead of the one named by `settings.chain`. Closed with the node. */
  registry?: ChainRegistry
  /** Receives the node's metrics, for example for Prometheus. @default no metrics, at no cost */
  metrics?: Metrics
  /** The logger of the node. @default stderr, as configured by `logLevel`, `log` and `logFormat` */
  log?: Logger
  /** Transports besides TCP. */
  transports?: readonly NodeTransport[]
  /** Agent version of the node. @default subnet-cli */
  agent?: string
  /**
   * Network interfaces, read every 5 seconds. A node that listens on all interfaces announces their addresses.
   * @default `networkInterfaces` of `node:os`
   */
  networkInterfaces?: NetworkInterfaces
}

/**
 * Creates a node in this process without starting it. A node with listen addresses locks its home until it is stopped. Without listen
 * addresses the node is client-only.
 * @throws UsageError, NodeError ALREADY_RUNNING
 */
export async function createNode(options: CreateNodeOptions): Promise<SubnetNode> {
  const home = homeAt(options.home)
  await ensureHome(home)
  const { settings, sources } = await loadSettings({ flags: options.settings ?? {}, env: {}, home })
  const log = options.log ?? embeddedLogger(settings)
  // a client-only node may share its home with a running node
  const transports = options.transports ?? []
  const listen = [...settings.listen, ...transports.flatMap((each) => each.listen ?? []).map((text) => parseMultiaddr(text).toString())]
  const lock = listen.length > 0 ? await HomeLock.acquire(home) : undefined
  try {
    const privateKey = await loadIdentity(home, settings.key)
    return await composeNode({
      home,
      settings: { ...settings, portMapping: settings.portMapping && sources.portMapping !== 'default' },
      privateKey,
      listen,
      transports: transports.map(({ transport }) => transport),
      handler: options.handler,
      interceptors: options.interceptors,
      tiers: options.tiers,
      registry: options.registry,
      metrics: options.metrics,
      agent: options.agent ?? 'subnet-cli',
      networkInterfaces: options.networkInterfaces,
      log,
      release: async () => lock?.release(),
    })
  } catch (error) {
    await lock?.release()
    throw error
  }
}
