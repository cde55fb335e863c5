// A project in TypeScript that has installed the package: see scripts/check-package.mjs.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type StringValue, StringValueSchema } from '@bufbuild/protobuf/wkt'
import {
  type CallOptions,
  type CreateNodeOptions,
  createNode,
  type Destination,
  type Interceptor,
  ProtobufProtocol,
  type ProtocolHost,
  type RequestContext,
  type SubnetNode,
} from 'subnet-cli'

class Shout extends ProtobufProtocol<typeof StringValueSchema, typeof StringValueSchema> {
  constructor(node: ProtocolHost) {
    super(node, { id: '/consumer/shout/1.0.0', request: StringValueSchema, response: StringValueSchema })
  }

  async shout(to: Destination, value: string, options?: CallOptions): Promise<string> {
    return (await this.callRemote(to, { value }, options)).value
  }

  protected override async handleRequest(context: RequestContext, { value }: StringValue): Promise<{ value: string }> {
    return { value: `${value.toUpperCase()} ${context.peerId.toString()}` }
  }
}

const seen: string[] = []
const log: Interceptor = (next) => async (exchange) => {
  seen.push(`${exchange.direction} ${exchange.protocolId}`)
  return next(exchange)
}

const folder = mkdtempSync(join(tmpdir(), 'consumer-'))
const options = (name: string): CreateNodeOptions => ({
  home: join(folder, name),
  settings: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  interceptors: [log],
})
const nodes: SubnetNode[] = await Promise.all([createNode(options('server')), createNode(options('client'))])
const [server, client] = nodes as [SubnetNode, SubnetNode]
try {
  const answering = new Shout(server)
  const asking = new Shout(client)
  await Promise.all(nodes.map(async (node) => node.start()))
  await answering.ready
  assert.equal(await asking.shout(server.multiaddrs, 'typed', { timeoutMs: 5_000 }), `TYPED ${client.peerId.toString()}`)
  assert.deepEqual(
    seen.filter((line) => line.includes('shout')),
    ['call /consumer/shout/1.0.0', 'request /consumer/shout/1.0.0'],
  )
} finally {
  await Promise.all(nodes.map(async (node) => node.stop()))
  rmSync(folder, { recursive: true, force: true })
}
