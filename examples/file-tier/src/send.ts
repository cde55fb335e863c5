// node dist/send.js FILE PEER TEXT: sends a task to a peer that the file knows
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode } from 'subnet-cli'
import FileTier from './index.ts'

const [file = '', peer = '', text = ''] = process.argv.slice(2)
const home = await mkdtemp(join(tmpdir(), 'file-tier-'))
// without `listen` the node only asks
await using node = await createNode({ home, tiers: [new FileTier(file)] })
await node.start()
try {
  let foundIn = ''
  const { result } = await node.tasks.sendTask(peer, 'a task', Buffer.from(text), { onReached: ({ source }) => (foundIn = source) })
  process.stdout.write(`${Buffer.from(result).toString()} (found in: ${foundIn})\n`)
} catch (error) {
  process.stdout.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await node.stop()
  await rm(home, { recursive: true, force: true })
}
