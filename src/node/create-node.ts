import type { ChainRegistry } from '../chain/registry.ts'
import { createLogger } from '../primitives/log.ts'
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
import type { SubnetNode } from './subnet-node.ts'

/** What a node of one's own process is made of. */
export interface CreateNodeOptions {
  /** The directory of the node; made if it is not there. */
  home: string
  /** As on the command line and in config.json, camelCase: `listen`, `bootstrap`, `subnetId`, `chain`, `heartbeatInterval`, … */
  settings?: RawSettings
  /** Answers tasks; without one they are rejected. */
  handler?: TaskHandler | StreamingTaskHandler
  /** Around every call and every request of the node, the first one outermost. */
  interceptors?: readonly Interceptor[]
  /** Further ways to find peers, asked beside the built-in ones, by their `order`. */
  tiers?: readonly Tier[]
  /** A chain of one's own, in place of the one that `settings.chain` names. It is closed with the node. */
  registry?: ChainRegistry
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
  const { settings } = await loadSettings({ flags: options.settings ?? {}, env: {}, home })
  const log = createLogger(settings.logLevel, (line) => process.stderr.write(line))
  // one that only asks may share its home with a node that runs
  const lock = settings.listen.length > 0 ? await HomeLock.acquire(home) : undefined
  try {
    const privateKey = await loadIdentity(home, settings.key)
    return await composeNode({
      home,
      settings,
      privateKey,
      listen: settings.listen,
      handler: options.handler,
      interceptors: options.interceptors,
      tiers: options.tiers,
      registry: options.registry,
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
