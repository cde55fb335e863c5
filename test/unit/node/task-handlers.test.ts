import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadHandler } from '../../../src/node/handlers/task-handlers.ts'
import { parsePeerId } from '../../../src/primitives/address.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import type { StreamingTaskHandler, TaskHandler } from '../../../src/protocol/builtin/task.ts'
import { bodyOf, collectBody } from '../../../src/protocol/message/body-bytes.ts'
import { PEER_ID } from '../../support/seeds.ts'
import { TempFolders } from '../../support/temp.ts'

const OPTIONS = { timeoutMs: 20_000, maxOutputBytes: 1_000_000 }

async function ask(handler: TaskHandler | StreamingTaskHandler, text = '', signal = new AbortController().signal): Promise<string> {
  const [taskId, payload] = ['a task', Buffer.from(text)]
  const context = { peerId: parsePeerId(PEER_ID), signal }
  const result =
    typeof handler === 'function'
      ? await handler({ taskId, payload }, context)
      : await collectBody(await handler.stream({ taskId, payload: bodyOf(payload) }, context))
  return Buffer.from(result).toString()
}

describe('--handler', function () {
  this.timeout(30_000)
  const folders = new TempFolders()

  after(async () => folders.clean())

  const answers: Array<[spec: string, payload: string, answer: string]> = [
    ['echo', 'Grüße', 'Grüße'],
    ['upper', 'Grüße', 'GRÜSSE'],
    ['exec:tr a-z A-Z', 'abc', 'ABC'],
    [`exec:printf '%s|' "two words" 'and $HOME' a\\ b *.x`, '', 'two words|and $HOME|a b|*.x|'],
    ['sh:read line; echo "$line$line" | tr a b', 'xa\n', 'xbxb\n'],
    ['sh:echo "$SUBNET_TASK_ID $SUBNET_PEER_ID"', '', `a task ${PEER_ID}\n`],
  ]
  for (const [spec, payload, answer] of answers) {
    it(`answers ${JSON.stringify(payload)} with ${JSON.stringify(answer)}: ${spec}`, async () => {
      assert.equal(await ask(await loadHandler(spec, OPTIONS), payload), answer)
    })
  }

  const refused: Array<[spec: string, says: RegExp]> = [
    ['', /no such handler: ""/],
    ['nope', /no such handler: "nope"/],
    ['exec:', /names no command/],
    ['exec:""', /names no command/],
    ['sh: ', /names no command/],
    ['exec:cat | wc', /"\|" only means something to a shell/],
    ['exec:cat > file', /">" only means something to a shell/],
    ['exec:cat # not', /"#" only means something to a shell/],
    ['exec:echo $HOME', /"\$H" only means something to a shell/],
    ["exec:'unclosed", /the quote ' at character 1 is not closed/],
  ]
  for (const [spec, says] of refused) {
    it(`is refused before the node starts: ${JSON.stringify(spec)}`, async () => {
      await assert.rejects(
        loadHandler(spec, OPTIONS),
        (error) => error instanceof UsageError && says.test(error.message) && error.hint != null,
      )
    })
  }

  it('may be a module whose default export takes a task', async () => {
    const file = join(await folders.make(), 'handler.ts')
    await writeFile(file, 'export default async (task: { payload: Uint8Array }): Promise<Uint8Array> => task.payload.slice(1)')
    assert.equal(await ask(await loadHandler(file, OPTIONS), 'abc'), 'bc')
  })

  it('may be a module whose default export has a method stream', async () => {
    const file = join(await folders.make(), 'handler.ts')
    await writeFile(
      file,
      `import type { Body } from '${new URL('../../../src/index.ts', import.meta.url)}'
      class Handler {
        readonly words = 'from '
        stream ({ taskId, payload }: { taskId: string; payload: Body }): Body {
          const { words } = this
          const chunks = async function* () { yield Buffer.from(words + taskId + ': '); yield* payload.chunks }
          return { size: words.length + taskId.length + 2 + payload.size, chunks: chunks() }
        }
      }
      export default new Handler()`,
    )
    assert.equal(await ask(await loadHandler(file, OPTIONS), 'abc'), 'from a task: abc')
    const none = join(await folders.make(), 'none.ts')
    await writeFile(none, 'export default { run: () => new Uint8Array(0) }')
    await assert.rejects(loadHandler(none, OPTIONS), /has no function as its default export/)
  })

  it('lets what a program printed go when the call is over', async function () {
    if (!existsSync('/proc/self/fd')) {
      this.skip()
    }
    const handler = (await loadHandler('exec:head -c 3000000 /dev/zero', { ...OPTIONS, maxOutputBytes: 3_000_000 })) as StreamingTaskHandler
    const files = async (): Promise<number> => {
      const paths = await Promise.all(
        (await readdir('/proc/self/fd')).map(async (name) => readlink(`/proc/self/fd/${name}`).catch(() => '')),
      )
      return paths.filter((path) => /subnet-[0-9a-f-]{36} \(deleted\)$/.test(path)).length
    }
    const call = new AbortController()
    const context = { peerId: parsePeerId(PEER_ID), signal: call.signal }
    const { size, chunks } = await handler.stream({ taskId: '', payload: bodyOf(new Uint8Array(0)) }, context)
    assert.deepEqual([size, await files()], [3_000_000, 1])
    assert.equal((await collectBody({ size, chunks })).byteLength, 3_000_000)
    call.abort()
    for (const giveUpAtMs = Date.now() + 10_000; (await files()) > 0; ) {
      assert.ok(Date.now() < giveUpAtMs, 'it stays open')
    }
  })

  it('says that it is busy when as many tasks wait as may, and takes new ones when some are gone', async () => {
    const handler = await loadHandler('exec:sleep 1000', { ...OPTIONS, concurrency: 1 })
    const callers = Array.from({ length: 257 }, () => new AbortController())
    const waiting = callers.map(async ({ signal }) => ask(handler, '', signal))
    const settled = Promise.allSettled(waiting)
    await assert.rejects(ask(handler), { message: 'busy: 1 tasks run and 256 wait already' })

    callers.at(-1)?.abort(new Error('gone'))
    await assert.rejects(waiting.at(-1) ?? assert.fail(), { message: 'gone' })
    const late = new AbortController()
    const taken = ask(handler, '', late.signal)
    const stillFull = ask(handler)
    await assert.rejects(stillFull, /busy/)
    late.abort()
    await assert.rejects(taken)

    for (const caller of callers) {
      caller.abort(new Error('gone'))
    }
    assert.ok((await settled).every(({ status }) => status === 'rejected'))
  })

  it('runs at most as many programs at a time as it is told', async () => {
    const folder = await folders.make()
    // fails if another of its kind runs at the same time
    const handler = await loadHandler(`sh:mkdir ${folder}/alone && cat && rmdir ${folder}/alone`, { ...OPTIONS, concurrency: 1 })
    const results = await Promise.all(['a', 'b', 'c', 'd'].map(async (text) => ask(handler, text)))
    assert.deepEqual(results, ['a', 'b', 'c', 'd'])
  })
})
