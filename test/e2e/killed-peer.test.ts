import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProtocolError } from '../../src/index.ts'
import { Cli } from '../support/cli.ts'
import { Lab } from '../support/nodes.ts'

const TASKS = 600
const KILLED_AFTER = 150

for (const [transport, listen] of [
  ['TCP', '/ip4/127.0.0.1/tcp/0'],
  ['QUIC', '/ip4/127.0.0.1/udp/0/quic-v1'],
] as const) {
  describe(`a peer that is killed while it answers hundreds of tasks over ${transport}`, function () {
    this.timeout(120_000)
    const cli = new Cli()
    const lab = new Lab()

    after(async () => {
      await lab.clean()
      await cli.clean()
    })

    it('leaves each of them with one outcome, acts on none twice, and on none of which it is said that it did not', async () => {
      const folder = await cli.folder()
      const [module, journal] = [join(folder, 'handler.mjs'), join(folder, 'journal')]
      await writeFile(journal, '')
      // what is acted on outlives the process: the file is written before the answer
      await writeFile(
        module,
        `import { appendFileSync } from 'node:fs'
      export default (task) => {
        appendFileSync(${JSON.stringify(journal)}, task.taskId + '\\n')
        return task.payload
      }`,
      )
      const home = await cli.home()
      const server = await cli.start(home, ['--listen', listen, '--handler', module])
      const client = await lab.node()
      let answered = 0
      const killed = Promise.withResolvers<void>()
      const outcomes = await Promise.all(
        Array.from({ length: TASKS }, async (_, index) => {
          const taskId = `task-${index}`
          // some in one piece, some in many
          const payload = Buffer.alloc(index % 10 === 0 ? 200_000 : 100, index)
          try {
            const { accepted, result } = await client.tasks.sendTask(server.address, taskId, payload)
            assert.ok(accepted && payload.equals(result))
            if (++answered === KILLED_AFTER) {
              server.running.child.kill('SIGKILL')
              killed.resolve()
            }
            return { taskId, mayHaveActed: true, answered: true }
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error))
            return { taskId, mayHaveActed: error.mayHaveActed, answered: false }
          }
        }),
      )
      await killed.promise
      const acted = (await readFile(journal, 'utf8')).split('\n').slice(0, -1)
      assert.equal(new Set(acted).size, acted.length, 'none twice')
      const done = new Set(acted)
      assert.ok(outcomes.some((outcome) => !outcome.answered) && answered < TASKS, 'it was killed in the middle')
      for (const outcome of outcomes) {
        assert.ok(!outcome.answered || done.has(outcome.taskId), `${outcome.taskId} has an answer, but was not acted on`)
        assert.ok(outcome.mayHaveActed || !done.has(outcome.taskId), `${outcome.taskId} was acted on, which its caller was told it was not`)
      }

      const again = await cli.start(home, ['--handler', module, '--listen', server.address.replace(/\/p2p\/.*$/, '')])
      assert.equal(again.peerId, server.peerId)
      assert.ok((await client.tasks.sendTask(again.address, 'afterwards', Buffer.from('x'))).accepted)
    })
  })
}
