import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AtomicFile } from '../../../src/primitives/atomic-file.ts'

describe('an atomic file', () => {
  let folder: string
  let path: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'subnet-file-'))
    path = join(folder, 'result.bin')
  })

  afterEach(async () => rm(folder, { recursive: true }))

  const content = async (): Promise<string> => readFile(path, 'utf8')

  it('is not there before it is committed, then whole, and nothing else with it', async () => {
    const file = await AtomicFile.open(path)
    await file.write(Buffer.from('one '))
    await file.write(Buffer.from('two'))
    await assert.rejects(stat(path), { code: 'ENOENT' })
    await file.commit()
    assert.equal(await content(), 'one two')
    assert.deepEqual(await readdir(folder), ['result.bin'])
  })

  it('takes chunks as they come, however many, and is none the worse for those that break off', async () => {
    const chunk = (index: number): Buffer => Buffer.alloc(1 + ((index * 997) % 20_000), index)
    const chunks = async function* (failsAt: number): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 300; index++) {
        if (index === failsAt) {
          throw new Error('no more')
        }
        yield chunk(index)
      }
    }
    const file = await AtomicFile.open(path)
    await file.writeAll(chunks(Number.POSITIVE_INFINITY))
    await file.write(Buffer.from('end'))
    await file.commit()
    assert.deepEqual(await readFile(path), Buffer.concat([...Array.from({ length: 300 }, (_, index) => chunk(index)), Buffer.from('end')]))
    assert.deepEqual(await readdir(folder), ['result.bin'])

    const broken = await AtomicFile.open(path)
    await assert.rejects(broken.writeAll(chunks(200)), { message: 'no more' })
    await broken.discard()
    assert.equal((await readFile(path)).subarray(-3).toString(), 'end')
    assert.deepEqual(await readdir(folder), ['result.bin'])
  })

  it('replaces what stood there only when it is committed', async () => {
    await writeFile(path, 'old')
    const file = await AtomicFile.open(path)
    await file.write(Buffer.from('new'))
    assert.equal(await content(), 'old')
    await file.commit()
    assert.equal(await content(), 'new')
  })

  it('has the mode it was opened with from its first moment', async () => {
    const file = await AtomicFile.open(path, 0o600)
    const [temporary = ''] = await readdir(folder)
    assert.equal((await stat(join(folder, temporary))).mode & 0o777, 0o600)
    await file.commit()
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  })

  it('committed as new takes the place of nothing', async () => {
    const first = await AtomicFile.open(path)
    await first.write(Buffer.from('first'))
    const second = await AtomicFile.open(path)
    await second.write(Buffer.from('second'))
    await first.commitNew()
    await assert.rejects(second.commitNew(), { code: 'EEXIST' })
    assert.equal(await content(), 'first')
    assert.deepEqual(await readdir(folder), ['result.bin'])
  })

  it('leaves nothing behind when it is discarded, before, after and instead of a commit', async () => {
    const unused = await AtomicFile.open(path)
    await unused.write(Buffer.from('x'))
    await unused.discard()
    await unused.discard()
    assert.deepEqual(await readdir(folder), [])
    const used = await AtomicFile.open(path)
    await used.commit()
    await used.discard()
    assert.deepEqual(await readdir(folder), ['result.bin'])
  })

  it('leaves nothing behind when it cannot be committed', async () => {
    await mkdir(path)
    for (const commit of ['commit', 'commitNew'] as const) {
      const file = await AtomicFile.open(path)
      await file.write(Buffer.from('x'))
      await assert.rejects(file[commit]())
      assert.deepEqual(await readdir(folder), ['result.bin'])
    }
  })

  it('keeps no file open when it cannot be committed', async () => {
    const openFiles = async () => (await readdir('/proc/self/fd').catch(() => [])).length
    const before = await openFiles()
    const full = await AtomicFile.open(path)
    await full.write(Buffer.from('x'))
    // the disk fails in the moment of the sync
    const handle = Object.getPrototypeOf(await openedHandle()) as { sync(): Promise<void> }
    const { sync } = handle
    handle.sync = async () => Promise.reject(new Error('no space left'))
    try {
      await assert.rejects(full.commit(), /no space left/)
    } finally {
      handle.sync = sync
    }
    assert.deepEqual(await readdir(folder), [])
    assert.equal(await openFiles(), before)
  })

  it('cannot be opened in a folder that is not there', async () => {
    await assert.rejects(AtomicFile.open(join(folder, 'nowhere', 'file')), { code: 'ENOENT' })
  })

  async function openedHandle(): Promise<unknown> {
    const { open } = await import('node:fs/promises')
    const handle = await open('/dev/null')
    await handle.close()
    return handle
  }
})
