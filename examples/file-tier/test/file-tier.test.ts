import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { createNode, type SubnetNode } from 'subnet-cli'
import { describeTier, newPeer } from 'subnet-cli/testing'
import FileTier from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'file-tier-'))
const file = join(folder, 'peers.txt')

after(() => rmSync(folder, { recursive: true, force: true }))

describeTier(
  'the file tier',
  {
    knowing: ({ multiaddrs }) => {
      writeFileSync(file, multiaddrs.map((address) => `${address.toString()}\n`).join(''))
      return new FileTier(file)
    },
    failing: (error) =>
      new FileTier(file, async () => {
        throw error
      }),
    silent: () => new FileTier(file, async () => new Promise<never>(() => undefined)),
  },
  { describe, it, beforeEach, afterEach },
)

describe('a node with the file tier', () => {
  let server: SubnetNode
  let client: SubnetNode

  before(async () => {
    const start = async (name: string): Promise<SubnetNode> => {
      const node = await createNode({
        home: join(folder, name),
        settings: { listen: '/ip4/127.0.0.1/tcp/0' },
        handler: ({ payload }) => payload,
        tiers: [new FileTier(file)],
      })
      await node.start()
      return node
    }
    server = await start('server')
    client = await start('client')
  })

  after(async () => {
    await Promise.all([server.stop(), client.stop()])
  })

  it('reads the file at each question, comments and other peers left out', async () => {
    const other = await newPeer()
    writeFileSync(file, `# ${server.multiaddrs.join()}\n${other.at(1).toString()}\n`)
    await assert.rejects(client.resolve(server.peerId, { tiers: ['file'] }), { code: 'PEER_NOT_FOUND' })
    writeFileSync(file, `# the server\n  ${server.multiaddrs.join()}\r\n${other.at(1).toString()}\n`)
    const { source, verified } = await client.resolve(server.peerId, { tiers: ['file'] })
    assert.deepEqual([source, verified], ['file', true])
  })

  it('says what is wrong with a file that cannot be read, and asks the other tiers', async () => {
    rmSync(file)
    const { peerId } = await newPeer()
    await assert.rejects(client.resolve(peerId), { code: 'PEER_NOT_FOUND', message: /file: error \(ENOENT/ })
  })
})
