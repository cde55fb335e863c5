import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../../../src/primitives/errors.ts'
import { Spool } from '../../../src/primitives/spool.ts'
import { cut, seeded, someBytes } from '../../support/streams.ts'
import { TempFolders } from '../../support/temp.ts'

const MIB = 1024 * 1024

async function filled(bytes: Uint8Array, size: () => number): Promise<Spool> {
  const spool = new Spool()
  for (const chunk of cut(bytes, size)) {
    await spool.write(chunk)
  }
  return spool
}

async function contentOf(spool: Spool): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(spool.chunks()))
}

describe('a spool', () => {
  const folders = new TempFolders()
  const { TMPDIR } = process.env
  let folder: string

  beforeEach(async () => {
    folder = await folders.make()
    process.env['TMPDIR'] = folder
  })

  afterEach(async () => {
    if (TMPDIR == null) {
      delete process.env['TMPDIR']
    } else {
      process.env['TMPDIR'] = TMPDIR
    }
    await folders.clean()
  })

  /** The files of this test that the process has open. */
  async function openFiles(): Promise<string[]> {
    const names = await readdir('/proc/self/fd')
    const files = await Promise.all(names.map(async (name) => readlink(join('/proc/self/fd', name)).catch(() => '')))
    return names.filter((_, index) => files[index]?.startsWith(folder)).map((name) => join('/proc/self/fd', name))
  }

  it('gives what it took, in memory or in a file, to as many as ask', async () => {
    for (const length of [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB]) {
      const bytes = someBytes(length, length)
      const random = seeded(length)
      for (const size of [() => 64 * 1024, () => 1 + random() * 700_000, () => length]) {
        await using spool = await filled(bytes, size)
        assert.equal(spool.size, length)
        const [first, second] = await Promise.all([contentOf(spool), contentOf(spool)])
        assert.ok(first.equals(bytes) && second.equals(bytes) && (await contentOf(spool)).equals(bytes))
      }
    }
  })

  it('writes no file for what fits in memory, and one without a name for more', async () => {
    await using small = await filled(someBytes(MIB), () => 100_000)
    await using large = await filled(someBytes(3 * MIB), () => 100_000)
    assert.deepEqual(await readdir(folder), [])
    assert.deepEqual([small.size, large.size], [MIB, 3 * MIB])
  })

  it('has a file that only its owner can read, and closes it when it is disposed of, once or twice', async function () {
    if (!existsSync('/proc/self/fd')) {
      this.skip()
    }
    const spool = await filled(someBytes(2 * MIB), () => 100_000)
    const [file, ...others] = await openFiles()
    assert.deepEqual(others, [])
    const { mode, size, nlink } = await stat(file ?? assert.fail('no file is open'))
    assert.deepEqual({ mode: mode & 0o777, size, nlink }, { mode: 0o600, size: 2 * MIB, nlink: 0 })
    await spool[Symbol.asyncDispose]()
    await spool[Symbol.asyncDispose]()
    assert.deepEqual(await openFiles(), [])
  })

  it('ends whoever reads it when it is disposed of meanwhile', async () => {
    const spool = await filled(someBytes(3 * MIB), () => 100_000)
    const chunks = spool.chunks()
    await chunks.next()
    await spool[Symbol.asyncDispose]()
    assert.equal((await chunks.next()).done, true)
  })

  it('says where it cannot write, and what to do', async () => {
    process.env['TMPDIR'] = join(folder, 'gone')
    await using spool = new Spool()
    await spool.write(new Uint8Array(MIB))
    await assert.rejects(spool.write(new Uint8Array(1)), (error) => {
      assert.ok(error instanceof UsageError)
      assert.match(error.message, /^no temporary file can be written in .*gone: ENOENT/)
      assert.match(error.hint ?? '', /TMPDIR/)
      return true
    })
  })

  it('refuses more than all spools of a process may have in files, until others are disposed of', async () => {
    const room = { capacity: 4 * MIB, used: 0 }
    const first = new Spool(room)
    await first.write(new Uint8Array(3 * MIB))
    await using second = new Spool(room)
    await second.write(new Uint8Array(MIB))
    await assert.rejects(second.write(new Uint8Array(1)), { code: 'LIMIT_EXCEEDED', message: /would exceed 4194304 bytes$/ })
    await first[Symbol.asyncDispose]()
    await using third = new Spool(room)
    await third.write(new Uint8Array(4 * MIB))
    assert.equal(room.used, 4 * MIB)
    await third[Symbol.asyncDispose]()
    assert.equal(room.used, 0)
  })
})
