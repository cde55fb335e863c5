import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile, lockFileInTime } from '../../../src/primitives/file-lock.ts'
import { TempFolders } from '../../support/temp.ts'

describe('the lock of a file', () => {
  const folders = new TempFolders()
  let folder: string
  let file: string

  beforeEach(async () => {
    folder = await folders.make()
    file = join(folder, 'file')
    await writeFile(file, '0')
  })

  after(async () => folders.clean())

  function adding(...args: string[]): ChildProcess {
    return fork(new URL('adds-under-lock.ts', import.meta.url), [file, ...args])
  }

  it('is held by one at a time, and leaves nothing', async () => {
    const lock = lockFile(file)
    assert.throws(() => lockFile(file), { code: 'TIMEOUT', message: `the lock file ${folder}/.file.lock is locked by another program` })
    const waiting = lockFileInTime(file)
    lock[Symbol.dispose]()
    const next = await waiting
    assert.throws(() => lockFile(file), { code: 'TIMEOUT' })
    next[Symbol.dispose]()
    assert.deepEqual(await readdir(folder), ['file'])
  })

  it('lets no two processes in, though each removes the lock file', async () => {
    const exits = Array.from({ length: 4 }, async () => once(adding('50'), 'exit'))
    assert.deepEqual(
      await Promise.all(exits),
      exits.map(() => [0, null]),
    )
    assert.equal(await readFile(file, 'utf8'), '200')
    assert.deepEqual(await readdir(folder), ['file'])
  })

  it('ends with its process', async () => {
    const child = adding('1', 'holds')
    await once(child, 'message')
    assert.throws(() => lockFile(file), { code: 'TIMEOUT' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    lockFile(file)[Symbol.dispose]()
    assert.deepEqual(await readdir(folder), ['file'])
  })

  it('that cannot be had says why, and removes nothing', async () => {
    await writeFile(join(folder, '.file.lock'), 'not a database, but long enough to be one'.repeat(50))
    assert.throws(() => lockFile(file), { code: 'USAGE', message: /\.file\.lock is not an SQLite database/ })
    await rm(join(folder, '.file.lock'))
    await mkdir(join(folder, '.file.lock'))
    assert.throws(() => lockFile(file), { code: 'USAGE', message: /\.file\.lock cannot be opened: it is a directory/ })
    assert.deepEqual((await readdir(folder)).sort(), ['.file.lock', 'file'])
    assert.throws(() => lockFile(join(folder, 'none', 'file')), { code: 'USAGE', message: /cannot be opened: no such file or directory/ })
  })
})
