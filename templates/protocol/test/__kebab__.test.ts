import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createNode, type SubnetNode } from 'subnet-cli'
import { __Pascal__Protocol } from '../src/index.ts'

let folder: string
let server: SubnetNode
let client: SubnetNode
let protocol: __Pascal__Protocol

before(async () => {
  folder = await mkdtemp(join(tmpdir(), '__kebab__-'))
  const settings = { listen: ['/ip4/127.0.0.1/tcp/0'] }
  server = await createNode({ home: join(folder, 'server'), settings })
  client = await createNode({ home: join(folder, 'client'), settings })
  new __Pascal__Protocol(server)
  protocol = new __Pascal__Protocol(client)
  await Promise.all([server.start(), client.start()])
})

after(async () => {
  await Promise.all([server?.stop(), client?.stop()])
  await rm(folder, { recursive: true, force: true })
})

test('a peer answers', async () => {
  const { text } = await protocol.call(server.multiaddrs, 'Ada')
  assert.equal(text, `Hello Ada, you are ${client.peerId.toString()}`)
})

test('a call that is given up ends with the reason for it', async () => {
  const reason = new Error('enough')
  await assert.rejects(protocol.call(server.multiaddrs, 'Ada', { signal: AbortSignal.abort(reason) }), reason)
})
