import assert from 'node:assert/strict'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ResultsFile } from '../../../src/cli/batch/results-file.ts'
import { onSmallDisk, SmallDisk, whyNoSmallDisk } from '../../support/small-disk.ts'
import { TempFolders } from '../../support/temp.ts'

const refusal = await whyNoSmallDisk()

function result(index: number, padding = 0): string {
  const peerId = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
  const told = { index, taskId: `t${index}`, peerId, accepted: true, error: null, bytesSent: 1, resultBase64: 'A'.repeat(padding) }
  return `${JSON.stringify(told)}\n`
}

describe('the results of a batch in a file', () => {
  const temp = new TempFolders()
  let folder: string
  let batch: string

  beforeEach(async () => {
    folder = await temp.make()
    batch = join(folder, 'batch')
    await writeFile(batch, [0, 1, 2].map((index) => `{"peer":"bob","text":"x","taskId":"t${index}"}\n`).join(''))
  })

  afterEach(async () => temp.clean())

  async function open(path: string): Promise<ResultsFile> {
    return ResultsFile.open(path, { batch, defaultPeer: undefined, maxLineBytes: 1 << 20, signal: new AbortController().signal })
  }

  it('is added to, and tells what need not be sent again', async () => {
    const path = join(folder, 'results')
    const first = await open(path)
    await Promise.all([1, 0].map(async (index) => first.write(result(index, 40_000))))
    await first.close()
    await writeFile(path, `${await readFile(path, 'utf8')}{"index":2,"taskI`)
    const second = await open(path)
    assert.deepEqual(
      [0, 1, 2].map((index) => second.holds(index)),
      [true, true, false],
    )
    await second.write(result(2))
    await second.close()
    assert.equal(await readFile(path, 'utf8'), result(1, 40_000) + result(0, 40_000) + result(2))
  })

  it('is open in one place at a time, by whatever name', async () => {
    const path = join(folder, 'results')
    const first = await open(path)
    await first.write(result(0))
    await symlink(path, join(folder, 'link'))
    for (const name of [path, join(folder, 'link')]) {
      await assert.rejects(open(name), { code: 'ALREADY_RUNNING', message: `another batch writes its results to ${name}` })
    }
    await first.close()
    assert.equal(await readFile(path, 'utf8'), result(0))
    const second = await open(path)
    assert.equal(second.holds(0), true)
    await second.close()
    await writeFile(batch, '')
    await assert.rejects(open(path), /does not belong to this batch/)
    assert.deepEqual((await readdir(folder)).sort(), ['batch', 'link', 'results'])
  })

  const failures: Record<string, [error: object, done: 'rejected' | 'failed' | undefined]> = {
    'was not reached': [{ code: 'UNREACHABLE', exit: 4, message: 'gone' }, undefined],
    'was not found': [{ code: 'PEER_NOT_FOUND', exit: 3, message: 'nowhere' }, undefined],
    'had no time to begin': [{ code: 'TIMEOUT', exit: 6, message: 'no connection; the peer has not acted on it' }, undefined],
    'may have acted': [{ code: 'TIMEOUT', exit: 6, message: 'no answer; the peer may have acted on the request' }, 'failed'],
    'broke the stream': [{ code: 'REMOTE_FAILED', exit: 8, message: 'the peer reset the stream' }, 'failed'],
    'said no, in these words': [{ code: 'TASK_REJECTED', message: 'nothing was sent' }, 'rejected'],
  }
  for (const [what, [error, done]] of Object.entries(failures)) {
    it(`${done != null ? 'leaves out' : 'sends again'} a task whose peer ${what}`, async () => {
      const path = join(folder, 'results')
      await writeFile(path, `${JSON.stringify({ index: 1, peer: 'bob', taskId: 't1', accepted: false, error })}\n`)
      const results = await open(path)
      assert.equal(results.holds(1), done != null)
      assert.deepEqual(results.before, {
        counts: { accepted: 0, rejected: done === 'rejected' ? 1 : 0, failed: done === 'failed' ? 1 : 0 },
        firstFailure: done != null ? { index: 1, exit: 'exit' in error ? error.exit : 7 } : undefined,
      })
      await results.close()
    })
  }

  onSmallDisk(refusal, 'on a disk that is full says so, takes no line behind half a line, and goes on when there is room', async () => {
    const disk = await SmallDisk.open()
    try {
      const path = join(disk.path, 'results')
      const full = await open(path)
      await full.write(result(0))
      await disk.fill()
      await assert.rejects(full.write(result(1, 200_000)), {
        code: 'USAGE',
        message: `the results ${path} cannot be written: the disk is full`,
      })
      await disk.makeRoom()
      await assert.rejects(full.write(result(2)), { code: 'USAGE' })
      await full.close()
      const again = await open(path)
      assert.deepEqual(
        [0, 1, 2].map((index) => again.holds(index)),
        [true, false, false],
      )
      await again.write(result(1))
      await again.close()
      assert.equal(await readFile(path, 'utf8'), result(0) + result(1))
    } finally {
      await disk.close()
    }
  })
})
