import { join } from 'node:path'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createNode, type SubnetNode } from '../src/index.ts'
import { homeAt } from '../src/node/home/home.ts'
import { readKeyFile } from '../src/node/home/identity.ts'
import { startTaskPeer } from './support/bare-libp2p.ts'
import { listenDelayed } from './support/delayed-port.ts'
import { listenDelayedUdp } from './support/delayed-udp.ts'
import type { DelayedPeer } from './support/server-contract.ts'
import { listenTcp } from './support/sockets.ts'
import { enterInBook } from './support/strangers.ts'

// node delay-server.ts FOLDER DELAY_MS..., forked: it ends with the process that did that
const [folder = '', ...delays] = process.argv.slice(2)

process.on('disconnect', () => process.exit())
const peer = await startNode('peer')
const quic = await startNode('quic', '/ip4/127.0.0.1/udp/0/quic-v1')
const plain = await startTaskPeer()
const privateKey = await readKeyFile(homeAt(join(folder, 'peer')).identityFile)
const echoPort = await listenTcp((body) => body)
process.send?.(await Promise.all(delays.map(async (delay) => behind(Number(delay)))))

async function behind(delayMs: number): Promise<DelayedPeer> {
  const home = `neighbour-${delayMs}`
  const address = await delayed(peer.multiaddrs, delayMs)
  await enterInBook(join(folder, home), [{ privateKey, multiaddrs: [multiaddr(address)] }])
  const neighbour = await startNode(home)
  return {
    delayMs,
    peerId: peer.peerId.toString(),
    multiaddr: `${address}/p2p/${peer.peerId.toString()}`,
    plainMultiaddr: `${await delayed(plain.getMultiaddrs(), delayMs)}/p2p/${plain.peerId.toString()}`,
    neighbour: `${await delayed(neighbour.multiaddrs, delayMs)}/p2p/${neighbour.peerId.toString()}`,
    quicMultiaddr: `${await delayedQuic(quic.multiaddrs, delayMs)}/p2p/${quic.peerId.toString()}`,
    echoPort: await listenDelayed(echoPort, delayMs),
  }
}

async function startNode(name: string, listen = '/ip4/127.0.0.1/tcp/0'): Promise<SubnetNode> {
  const settings = { listen: [listen], heartbeatInterval: '10m' }
  const node = await createNode({ home: join(folder, name), settings, handler: ({ payload }) => payload })
  await node.start()
  return node
}

async function delayedQuic([near]: Multiaddr[], delayMs: number): Promise<string> {
  const [, port] = /\/udp\/(\d+)\//.exec(String(near)) ?? []
  return `/ip4/127.0.0.1/udp/${await listenDelayedUdp(Number(port), delayMs)}/quic-v1`
}

/** Where a peer is, beyond the delay. */
async function delayed([near]: Multiaddr[], delayMs: number): Promise<string> {
  const [, port] = /\/tcp\/(\d+)\//.exec(String(near)) ?? []
  return `/ip4/127.0.0.1/tcp/${await listenDelayed(Number(port), delayMs)}`
}
