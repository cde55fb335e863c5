import { randomUUID } from 'node:crypto'
import { on } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CreateNodeOptions, createNode, type NodeEvents, type SubnetNode } from '../../src/index.ts'

/** No test has so many nodes that it would hear them less often. */
const PLENTY_OF_BYTES = 1_000_000

/** Temporary folders and nodes of one test, gone after it. */
export class Lab {
  readonly #folders: string[] = []
  readonly #nodes: SubnetNode[] = []

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'subnet-test-'))
    this.#folders.push(folder)
    return folder
  }

  /** A started node on a free loopback port, in a home of its own unless one is given. */
  async node(options: Partial<CreateNodeOptions> = {}): Promise<SubnetNode> {
    const node = await this.idle({ ...options, settings: { listen: ['/ip4/127.0.0.1/tcp/0'], ...options.settings } })
    await node.start()
    return node
  }

  /** A node that is not started; it listens only where the settings say so. */
  async idle(options: Partial<CreateNodeOptions> = {}): Promise<SubnetNode> {
    const node = await createNode({
      home: options.home ?? (await this.folder()),
      ...options,
      // a DHT of its own for each: a shared one soon connects everybody with everybody, and a line is no line any more
      settings: {
        heartbeatInterval: '2s',
        heartbeatBudget: PLENTY_OF_BYTES,
        logLevel: 'error',
        kadProtocol: `/test/${randomUUID()}/kad/1.0.0`,
        ...options.settings,
      },
    })
    this.#nodes.push(node)
    return node
  }

  async clean(): Promise<void> {
    await Promise.all(this.#nodes.splice(0).map(async (node) => node.stop()))
    await Promise.all(this.#folders.splice(0).map(async (folder) => rm(folder, { recursive: true, force: true })))
  }
}

/** The address of a node, to bootstrap to or to dial. */
export function addressOf(node: SubnetNode): string {
  const address = node.multiaddrs[0]
  if (address == null) {
    throw new Error('the node listens nowhere')
  }
  return address.toString()
}

/** The first event of this name, from now on, that the filter takes. */
export async function event<Name extends keyof NodeEvents>(
  node: SubnetNode,
  name: Name,
  matches: (detail: NodeEvents[Name][0]) => boolean = () => true,
): Promise<NodeEvents[Name][0]> {
  for await (const [detail] of on(node, name)) {
    if (matches(detail)) {
      return detail
    }
  }
  throw new Error('unreachable: the iterator of events does not end')
}

/** `count` heartbeats of one peer, heard by another. */
export async function heartbeats(listener: SubnetNode, of: SubnetNode, count: number): Promise<void> {
  let heard = 0
  await event(listener, 'heartbeat', ({ peerId }) => peerId === of.peerId.toString() && ++heard === count)
}
