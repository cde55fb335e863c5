// A project in plain JavaScript that has installed the package: see scripts/check-package.mjs.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode, ProtocolBase, ProtocolError } from 'subnet-cli'
import { describeTier } from 'subnet-cli/testing'

const text = {
  encode: (message) => Buffer.from(message),
  decode: (bytes) => Buffer.from(bytes).toString(),
}

class Words extends ProtocolBase {
  constructor(node) {
    super(node, { id: '/consumer/words/1.0.0', kind: 'server-streaming', request: text, response: text })
  }

  split(to, words, options) {
    return this.callStream(to, words, options)
  }

  async *handleRequest(_context, words) {
    yield* words.split(' ')
  }
}

const folder = mkdtempSync(join(tmpdir(), 'consumer-'))
const settings = { listen: ['/ip4/127.0.0.1/tcp/0'] }
const server = await createNode({ home: join(folder, 'server'), settings, handler: ({ payload }) => payload })
const client = await createNode({ home: join(folder, 'client'), settings })
try {
  new Words(server)
  const words = new Words(client)
  await Promise.all([server.start(), client.start()])
  assert.deepEqual(await Array.fromAsync(words.split(server.multiaddrs, 'plain old JavaScript')), ['plain', 'old', 'JavaScript'])
  const { accepted, result } = await client.tasks.sendTask(server.peerId, 'a task', Buffer.from('payload'))
  assert.deepEqual([accepted, Buffer.from(result).toString()], [true, 'payload'])
  const { multiaddrs } = server
  await server.stop()
  await assert.rejects(client.tasks.sendTask(multiaddrs, 'a task', Buffer.from('payload')), ProtocolError)
} finally {
  await Promise.all([server.stop(), client.stop()])
  rmSync(folder, { recursive: true, force: true })
}

// the compliance suites run in any runner: here in none at all
const tests = []
const before = []
const suite = {
  describe: (_name, body) => body(),
  it: (_name, body) => tests.push(body),
  beforeEach: (body) => before.push(body),
  afterEach: () => assert.fail('this suite has nothing to clean up'),
}
const tierOf = (find) => ({ name: 'mine', order: 1, budgetMs: 100, find })
describeTier(
  'a tier',
  {
    knowing: (known, of) =>
      tierOf(async function* (peerId) {
        if (peerId.equals(of)) {
          yield known
        }
      }),
    failing: (error) =>
      tierOf(async function* () {
        yield* []
        throw error
      }),
  },
  suite,
)
assert.ok(tests.length >= 7)
for (const test of tests) {
  for (const body of before) {
    await body()
  }
  await test()
}
