import { setTimeout as delay } from 'node:timers/promises'
import type { CallOptions, SubnetNode } from '../../src/index.ts'
import { median, timeInTurn } from './measure.ts'
import type { DelayedPeer } from './server-contract.ts'
import { connectedTcp } from './sockets.ts'

/** Of one delay, milliseconds of each run. */
export interface Delays {
  /** One way. */
  delayMs: number
  /** A frame there and back on a kept plain connection: what one round trip takes. */
  roundTripMs: number[]
  /** A task on a connection that had some before. */
  warm: number[]
  /** The same to a peer without kept streams. */
  warmPlain: number[]
  /** Warm, and the first one of a new node, over QUIC. */
  warmQuic: number[]
  firstQuic: number[]
  /** The first task of a new node, to an address; to a peer whose address a connected neighbour knows. */
  first: number[]
  byNeighbour: number[]
}

type StartNode = (bootstrap?: string) => Promise<SubnetNode>

const ADDRESS_PROTOCOL = '/subnet/address/1.0.0'
const SMALL = Buffer.alloc(64, 1)
const LOOK_AGAIN_MS = 20

/** All delays in turn, in each round with new nodes. */
export async function measureDelays(
  stack: AsyncDisposableStack,
  peers: readonly DelayedPeer[],
  runs: number,
  startNode: StartNode,
): Promise<Delays[]> {
  const measured: Delays[] = []
  for (const peer of peers) {
    const plain = stack.use(await connectedTcp(peer.echoPort))
    const node = await startNode()
    const works = {
      roundTripMs: async () => plain.request(SMALL),
      warm: async () => sendTask(node, peer.multiaddr),
      warmPlain: async () => sendTask(node, peer.plainMultiaddr),
      warmQuic: async () => sendTask(node, peer.quicMultiaddr),
    }
    // the connection, and a word about what the peer speaks
    await timeInTurn(2, works)
    const [first, firstQuic, byNeighbour]: [number[], number[], number[]] = [[], [], []]
    const warm = { roundTripMs: [] as number[], warm: [] as number[], warmPlain: [] as number[], warmQuic: [] as number[] }
    for (let run = 0; run < runs; run++) {
      const figures = await timeInTurn(1, works)
      warm.roundTripMs.push(...figures.roundTripMs)
      warm.warm.push(...figures.warm)
      warm.warmPlain.push(...figures.warmPlain)
      warm.warmQuic.push(...figures.warmQuic)
      first.push(await firstTask(peer, await startNode(), peer.multiaddr))
      firstQuic.push(await firstTask({ ...peer, multiaddr: peer.quicMultiaddr }, await startNode(), peer.quicMultiaddr))
      byNeighbour.push(await firstTask(peer, await besideNeighbour(peer, startNode), peer.peerId))
    }
    await node.stop()
    measured.push({ delayMs: peer.delayMs, ...warm, first, firstQuic, byNeighbour })
  }
  return measured
}

/** How many round trips something takes, to a tenth: what the delay adds to it, in what it adds to one. Undefined without a delay, or without a run that has none. */
export function roundTrips(all: readonly Delays[], delayMs: number, which: keyof Omit<Delays, 'delayMs'>): number | undefined {
  const [delayed, bare] = [delayMs, 0].map((ms) => all.find((one) => one.delayMs === ms))
  if (delayed == null || bare == null || delayed === bare) {
    return undefined
  }
  const added = (runs: keyof Omit<Delays, 'delayMs'>): number => median(delayed[runs]) - median(bare[runs])
  return Math.round((10 * added(which)) / added('roundTripMs')) / 10
}

async function firstTask(peer: DelayedPeer, node: SubnetNode, to: string): Promise<number> {
  const startedAtMs = performance.now()
  const usedAddress = await sendTask(node, to)
  const tookMs = performance.now() - startedAtMs
  await node.stop()
  if (!peer.multiaddr.startsWith(usedAddress)) {
    throw new Error(`the task took ${usedAddress} and not the delayed ${peer.multiaddr}`)
  }
  return tookMs
}

/** Gives the address that it went to. */
async function sendTask(node: SubnetNode, to: string): Promise<string> {
  let address = ''
  const onReport: CallOptions['onReport'] = ({ reached }) => {
    address = String(reached?.connection.remoteAddr)
  }
  const { accepted, error } = await node.tasks.sendTask(to, 'delayed', SMALL, { onReport })
  if (!accepted) {
    throw new Error(`the peer rejects what is measured: ${error}`)
  }
  return address
}

/** A new node that is connected to the neighbour and knows that it can be asked. */
async function besideNeighbour({ neighbour }: DelayedPeer, startNode: StartNode): Promise<SubnetNode> {
  const node = await startNode(neighbour)
  for (;;) {
    const [known] = await node.peers()
    if (known?.protocols.includes(ADDRESS_PROTOCOL) === true) {
      return node
    }
    await delay(LOOK_AGAIN_MS)
  }
}
