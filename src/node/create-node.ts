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

/** A transport beside TCP. Its dials have the node's guard: the dial policy and the dial budgets hold for it too. */
export interface NodeTransport {
  /** As `createLibp2p` of libp2p takes it, for example `webSockets()`. */
  transport: StackTransport
  /** Multiaddrs on which the node listens with it. @default none: the node only dials with it */
  listen?: readonly string[]
}

/** What a node of one's own process is made of. */
export interface CreateNodeOptions {
  /** The directory of the node; made if it is not there. */
  home: string
  /**
   * As on the command line and in config.json, camelCase: `listen`, `bootstrap`, `subnetId`, `chain`, `heartbeatInterval`, …
   * `portMapping` is off unless it is set here or in config.json: a program may not expect a library to ask the router of its network, which takes a multicast.
   */
  settings?: RawSettings
  /** Answers tasks; without one they are rejected. */
  handler?: TaskHandler | StreamingTaskHandler
  /** Around every call and every request of the node, the first one outermost. */
  interceptors?: readonly Interceptor[]
  /** Further ways to find peers, asked beside the built-in ones, by their `order`. */
  tiers?: readonly Tier[]
  /** A chain of one's own, in place of the one that `settings.chain` names. It is closed with the node. */
  registry?: ChainRegistry
  /** Where the node puts its numbers, for example for Prometheus. @default nowhere, at no cost */
  metrics?: Metrics
  /** Where the node logs. @default stderr, as `logLevel`, `log` and `logFormat` of the settings say */
  log?: Logger
  /** Transports beside TCP. */
  transports?: readonly NodeTransport[]
  /** What the node calls itself. @default subnet-cli */
  agent?: string
  /**
   * The interfaces whose addresses a node that listens on all of them tells others, read every 5 seconds.
   * @default `networkInterfaces` of `node:os`
   */
  networkInterfaces?: NetworkInterfaces
}

/**
 * A node of one's own process, not started yet. One that listens nowhere only asks; one that does has its home for itself until it is
 * stopped.
 * @throws UsageError, NodeError ALREADY_RUNNING
 */
export async function createNode(options: CreateNodeOptions): Promise<SubnetNode> {
  const home = homeAt(options.home)
  await ensureHome(home)
  const { settings, sources } = await loadSettings({ flags: options.settings ?? {}, env: {}, home })
  const log = options.log ?? embeddedLogger(settings)
  // one that only asks may share its home with a node that runs
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
