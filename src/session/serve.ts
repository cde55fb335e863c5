import { composeNode } from '../node/compose.ts'
import type { Settings } from '../node/config.ts'
import { ensureHome, type Home } from '../node/home.ts'
import { loadIdentity } from '../node/identity.ts'
import { HomeLock } from '../node/lock.ts'
import type { NodeEvents, SubnetNode } from '../node/subnet-node.ts'
import { loadHandler } from '../node/task-handlers.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'

export interface ServeInit {
  home: Home
  settings: Settings
  agent: string
  log: Logger
}

/** Everything a running node tells, as `start --json` prints it. */
export type NodeEvent = { event: string; atMs: number } & Record<string, unknown>

export interface RunningNode {
  ready: NodeEvent
  /** Tells everything from now on. */
  onEvent(listener: (event: NodeEvent) => void): void
  /** Says goodbye, closes everything, frees the home. May be called twice. */
  stop(): Promise<void>
}

/** Where a node listens that was not told where. */
const DEFAULT_LISTEN = '/ip4/0.0.0.0/tcp/38960'
const ANY_PORT = '/ip4/0.0.0.0/tcp/0'
const EVENTS = ['peer:connect', 'peer:disconnect', 'heartbeat', 'task'] as const satisfies Array<keyof NodeEvents>

/** Runs the node of a home. @throws NodeError ALREADY_RUNNING, UsageError, ChainError */
export async function serve(init: ServeInit): Promise<RunningNode> {
  const { home, settings, log } = init
  await ensureHome(home)
  const handler =
    settings.handler == null
      ? undefined
      : await loadHandler(settings.handler, { timeoutMs: settings.taskTimeout, maxOutputBytes: settings.maxFrameBytes })
  const lock = await HomeLock.acquire(home)
  try {
    const privateKey = await loadIdentity(home, settings.key)
    const compose = async (listen: string[]): Promise<SubnetNode> =>
      composeNode({ home, settings, privateKey, handler, agent: init.agent, log, listen })
    const node = await startListening(compose, settings.listen, log)
    // a chain that is none is found out now, not at the first peer that is looked up
    await node.registry.lookup(node.peerId).catch(async (error) => {
      await node.stop()
      throw error
    })
    return new Running(init, node, lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Listens where the user said, or at the default, or where that is taken at any free port. */
async function startListening(compose: (listen: string[]) => Promise<SubnetNode>, listen: string[], log: Logger): Promise<SubnetNode> {
  const named = listen.length > 0
  const node = await compose(named ? listen : [DEFAULT_LISTEN])
  try {
    await node.start()
    return node
  } catch (cause) {
    await node.stop()
    const taken = describeError(cause)
    if (named || !isAddressInUse(cause)) {
      throw new UsageError(`cannot listen on ${named ? listen.join(', ') : DEFAULT_LISTEN}: ${taken}`, {
        cause,
        hint: 'give another --listen; a port of 0 takes a free one',
      })
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

function isAddressInUse(error: unknown): boolean {
  return (
    error instanceof Error &&
    (/EADDRINUSE/.test(error.message) ||
      isAddressInUse(error.cause) ||
      (error instanceof AggregateError && error.errors.some(isAddressInUse)))
  )
}

class Running implements RunningNode {
  readonly ready: NodeEvent
  readonly #node: SubnetNode
  readonly #lock: HomeLock
  readonly #log: Logger
  readonly #publishes: boolean
  #stopped: Promise<void> | undefined
  #listener: ((event: NodeEvent) => void) | undefined

  constructor({ home, settings, log }: ServeInit, node: SubnetNode, lock: HomeLock) {
    this.#node = node
    this.#lock = lock
    this.#log = log
    this.#publishes = settings.publish
    this.ready = {
      event: 'ready',
      atMs: Date.now(),
      peerId: node.peerId.toString(),
      multiaddrs: node.multiaddrs.map(String),
      subnetId: settings.subnetId,
      home: home.path,
      pid: process.pid,
    }
    node.on('addresses', () => void this.#publish())
    void this.#publish()
  }

  onEvent(listener: (event: NodeEvent) => void): void {
    this.#listener = listener
    for (const event of EVENTS) {
      this.#node.on(event, (detail: object) => listener({ event, atMs: Date.now(), ...detail }))
    }
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#listener?.({ event: 'stopping', atMs: Date.now() })
    await this.#node.stop()
    await this.#lock.release()
  }

  async #publish(): Promise<void> {
    if (this.#publishes && this.#node.multiaddrs.length > 0) {
      await this.#node.registry.publish(this.#node.multiaddrs).catch((error) => this.#log.error('addresses not published', error))
    }
  }
}
