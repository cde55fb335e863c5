import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { NodeError } from '../../../src/node/home/errors.ts'
import { type Home, homeAt } from '../../../src/node/home/home.ts'
import { HomeLock } from '../../../src/node/home/lock.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { TempFolders } from '../../support/temp.ts'

describe('the lock of a home', () => {
  const folders = new TempFolders()
  let home: Home

  beforeEach(async () => {
    home = homeAt(await folders.make())
  })

  after(async () => folders.clean())

  it('is held by one at a time; the others learn its pid', async () => {
    const lock = await HomeLock.acquire(home)
    assert.equal(await readFile(home.pidFile, 'utf8'), `${process.pid}\n`)
    await assert.rejects(HomeLock.acquire(home), (error) => {
      assert.ok(error instanceof NodeError)
      assert.equal(error.code, 'ALREADY_RUNNING')
      assert.equal(error.message, `a node runs in ${home.path} already (pid ${process.pid})`)
      return true
    })
    await lock.release()
    assert.ok(!(await readdir(home.path)).includes('node.pid'))
    await (await HomeLock.acquire(home)).release()
  })

  it('tells who holds it, and takes nothing from one who takes it meanwhile', async () => {
    assert.equal(await HomeLock.holderOf(home), undefined)
    const lock = await HomeLock.acquire(home)
    assert.equal(await HomeLock.holderOf(home), `pid ${process.pid}`)
    await writeFile(home.pidFile, '')
    assert.equal(await HomeLock.holderOf(home), 'pid unknown')
    await lock.release()
    assert.equal(await HomeLock.holderOf(home), undefined)
  })

  it('is taken again where its file was removed, but not from another, nor in another home', async () => {
    const lock = await HomeLock.acquire(home)
    assert.equal(await lock.hold(), true)
    await rm(home.lockFile)
    assert.equal(await lock.hold(), true)
    await assert.rejects(HomeLock.acquire(home), { code: 'ALREADY_RUNNING' })

    await rm(home.lockFile)
    const other = await HomeLock.acquire(home)
    assert.equal(await lock.hold(), false)
    await other.release()
    await rename(home.path, `${home.path}-moved`)
    await mkdir(home.path)
    assert.equal(await lock.hold(), false)
    assert.deepEqual(await readdir(home.path), [])
    await lock.release()
    await rm(`${home.path}-moved`, { recursive: true })
  })

  it('goes to one of many who want it at once', async () => {
    const wanted = await Promise.allSettled(Array.from({ length: 10 }, async () => HomeLock.acquire(home)))
    const held = wanted.filter(({ status }) => status === 'fulfilled')
    assert.equal(held.length, 1)
    await (held[0] as PromiseFulfilledResult<HomeLock>).value.release()
  })

  it('does not ask what a file of an earlier process says', async () => {
    await writeFile(home.pidFile, '1\n')
    const lock = await HomeLock.acquire(home)
    assert.equal(await readFile(home.pidFile, 'utf8'), `${process.pid}\n`)
    await lock.release()
  })

  it('that is no lock file is named, with what to do', async () => {
    const says = (problem: string, hint: RegExp): object => ({ code: 'USAGE', message: `the lock file ${home.lockFile} ${problem}`, hint })
    await writeFile(home.lockFile, 'not a database, but long enough to be one'.repeat(50))
    await assert.rejects(HomeLock.acquire(home), says('is not an SQLite database', /remove it/))
    home = homeAt(await folders.make())
    await mkdir(home.lockFile)
    await assert.rejects(HomeLock.acquire(home), says('cannot be opened: it is a directory', /readable and writable/))
  })

  it('is free again when the pid cannot be written', async () => {
    await mkdir(home.pidFile)
    await assert.rejects(
      HomeLock.acquire(home),
      (error) => error instanceof UsageError && /node\.pid cannot be written/.test(error.message),
    )
    await assert.rejects(HomeLock.acquire(home), UsageError)
    assert.deepEqual((await readdir(home.path)).sort(), ['node.lock', 'node.pid'])
  })
})
