import { setV8Flags } from '../bin/v8-flags.js'
import { type CreateNodeOptions, createNode } from '../src/index.ts'
import { bareNode, serveBare } from './support/bare-libp2p.ts'
import { type BenchServer, NO_OP, SINK_TASK_ID } from './support/server-contract.ts'
import { listenTcp, listenTls } from './support/sockets.ts'
import { enterStrangersInBook } from './support/strangers.ts'

setV8Flags('start')

// node bench-server.ts HOME MAX_FRAME_BYTES KNOWN_PEERS, forked: it ends with the process that did that
const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const NOTHING = new Uint8Array(0)
const [home = '', maxFrameBytes, knownPeers] = process.argv.slice(2)

process.on('disconnect', () => process.exit())
const known = await enterStrangersInBook(home, Number(knownPeers))
const options: CreateNodeOptions = {
  home,
  settings: { listen: LISTEN, heartbeatInterval: '10m', maxFrameBytes },
  handler: ({ taskId, payload }) => (taskId === SINK_TASK_ID ? NOTHING : payload),
}
const node = await createNode(options)
const intercepted = await createNode({ ...options, home: `${home}-intercepted`, interceptors: [NO_OP] })
const quic = await createNode({
  ...options,
  home: `${home}-quic`,
  settings: { ...options.settings, listen: ['/ip4/127.0.0.1/udp/0/quic-v1'] },
})
await Promise.all([node.start(), intercepted.start(), quic.start()])
const echo = (body: Uint8Array): Uint8Array => body
const sink = (): Uint8Array => NOTHING
process.send?.({
  multiaddr: String(node.multiaddrs[0]),
  interceptedMultiaddr: String(intercepted.multiaddrs[0]),
  quicMultiaddr: String(quic.multiaddrs[0]),
  knownPeers: known.map(String),
  tcp: { echo: await listenTcp(echo), sink: await listenTcp(sink) },
  tls: { echo: await listenTls(echo), sink: await listenTls(sink) },
  bareMultiaddr: await serveBare(await bareNode(LISTEN)),
} satisfies BenchServer)
