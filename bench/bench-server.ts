import { createNode } from '../src/index.ts'
import { listenPlain } from './support/plain-tcp.ts'
import { type BenchServer, SINK_TASK_ID } from './support/server-contract.ts'
import { enterInBook } from './support/strangers.ts'

// node bench-server.ts HOME MAX_FRAME_BYTES KNOWN_PEERS, forked: it ends with the process that did that
const NOTHING = new Uint8Array(0)
const [home = '', maxFrameBytes, knownPeers] = process.argv.slice(2)

process.on('disconnect', () => process.exit())
const known = await enterInBook(home, Number(knownPeers))
const node = await createNode({
  home,
  settings: { listen: ['/ip4/127.0.0.1/tcp/0'], heartbeatInterval: '10m', maxFrameBytes },
  handler: ({ taskId, payload }) => (taskId === SINK_TASK_ID ? NOTHING : payload),
})
await node.start()
process.send?.({
  multiaddr: String(node.multiaddrs[0]),
  knownPeers: known.map(String),
  echoPort: await listenPlain((body) => body),
  sinkPort: await listenPlain(() => NOTHING),
} satisfies BenchServer)
