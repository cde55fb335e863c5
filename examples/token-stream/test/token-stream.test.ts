import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createNode, type Interceptor, type SubnetNode } from 'subnet-cli'
import TokenStream, { FinishReason, type Usage } from '../src/index.ts'

const HOUR_MS = 3_600_000
/** Makes 47 tokens, unless it is told to make fewer. */
const LONG = { prompt: 'a peer', seed: 30 }

let folder: string
/** Two nodes that make texts, one of them very slowly, and one that asks for them. */
let server: SubnetNode
let slow: SubnetNode
let client: SubnetNode
let texts: TokenStream
/** What they tell: that a request is there, that a text has ended. */
const events = new EventEmitter<{ asked: []; usage: [Usage] }>()

const tell: Interceptor = (next) => async (exchange) => {
  if (exchange.direction === 'request' && exchange.protocolId === texts.id) {
    events.emit('asked')
  }
  return next(exchange)
}

async function start(name: string): Promise<SubnetNode> {
  const node = await createNode({ home: join(folder, name), settings: { listen: '/ip4/127.0.0.1/tcp/0' }, interceptors: [tell] })
  await node.start()
  return node
}

async function nextUsage(): Promise<Usage> {
  const [usage] = await once(events, 'usage')
  return usage
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'token-stream-'))
  server = await start('server')
  slow = await start('slow')
  client = await start('client')
  const onUsage = (usage: Usage): void => void events.emit('usage', usage)
  await Promise.all([new TokenStream(server, { delayMs: 10, onUsage }).ready, new TokenStream(slow, { delayMs: HOUR_MS, onUsage }).ready])
  texts = new TokenStream(client)
})

after(async () => {
  await Promise.all([server, slow, client].map(async (node) => node.stop()))
  await rm(folder, { recursive: true })
})

test('makes a text to its end, the same for the same prompt and seed', async () => {
  const used = nextUsage()
  const answers = await Array.fromAsync(texts.complete(server.multiaddrs, { prompt: 'a peer', seed: 7 }))
  assert.equal(answers.map(({ token }) => token).join(''), ' asks a peer.')
  assert.equal(answers.at(-1)?.finishReason, FinishReason.STOP)
  assert.deepEqual(await used, { peerId: client.peerId.toString(), tokens: 4, cancelled: false })
  const again = await Array.fromAsync(texts.complete(server.multiaddrs, { prompt: 'a peer', seed: 7 }))
  assert.deepEqual(again, answers)
})

test('makes no more tokens than were asked for, and says that there could be more', async () => {
  const answers = await Array.fromAsync(texts.complete(server.multiaddrs, { ...LONG, maxTokens: 3 }))
  assert.deepEqual(
    answers.map(({ finishReason }) => finishReason),
    [FinishReason.UNSPECIFIED, FinishReason.UNSPECIFIED, FinishReason.UNSPECIFIED, FinishReason.LENGTH],
  )
})

test('makes no more tokens once its caller has left the loop', async () => {
  const used = nextUsage()
  for await (const { token } of texts.complete(server.multiaddrs, LONG)) {
    assert.notEqual(token, '')
    break
  }
  const { tokens, cancelled } = await used
  assert.equal(cancelled, true)
  assert.ok(tokens < 47, `${tokens} tokens`)
})

test('is told at once of a caller that aborts while the model works', async () => {
  const controller = new AbortController()
  const [asked, used] = [once(events, 'asked'), nextUsage()]
  const first = texts.complete(slow.multiaddrs, LONG, { signal: controller.signal }).next()
  await asked
  const reason = new Error('somebody pressed Escape')
  controller.abort(reason)
  await assert.rejects(first, (error) => error === reason)
  assert.deepEqual(await used, { peerId: client.peerId.toString(), tokens: 0, cancelled: true })
})
