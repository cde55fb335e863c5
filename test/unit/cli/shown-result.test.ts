import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type KeptResult, showResult } from '../../../src/cli/shown-result.ts'
import { onSmallDisk, SmallDisk, whyNoSmallDisk } from '../../support/small-disk.ts'
import { TempFolders } from '../../support/temp.ts'

const refusal = await whyNoSmallDisk()
const MIB = 1 << 20
const IMAGE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0, 255])

interface Shown {
  kept: KeptResult | undefined
  text: string
}

describe('a result on a terminal', () => {
  const temp = new TempFolders()
  let folder: string

  beforeEach(async () => {
    folder = await temp.make()
  })

  afterEach(async () => temp.clean())

  async function show(parts: Array<string | Buffer>, { size, folders = [folder], taskId = 'a/task' }: ShowOptions = {}): Promise<Shown> {
    let text = ''
    const write = async (more: string): Promise<void> => {
      text += more
    }
    return { kept: await showResult(chunks(parts), { size, taskId, folders, write }), text }
  }

  interface ShowOptions {
    size?: number
    folders?: string[]
    taskId?: string
  }

  it('is shown where it is text, and ends its line', async () => {
    assert.deepEqual(await show(['hal', Buffer.from([0xc3]), Buffer.from([0xb6]), 'le']), { kept: undefined, text: 'halöle\n' })
    assert.deepEqual(await show(['a\nb\n'], { size: 4 }), { kept: undefined, text: 'a\nb\n' })
    assert.deepEqual(await show([]), { kept: undefined, text: '' })
    assert.deepEqual(await show(['\u001b[31mred\u001b[0m\u0007\tbell'], { size: 19 }), { kept: undefined, text: 'red \tbell\n' })
    assert.deepEqual(await readdir(folder), [])
  })

  it('is shown as it comes where nobody knows its size', async () => {
    const seen: string[] = []
    const parts = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('one\n')
      assert.deepEqual(seen, ['one\n'])
      yield Buffer.from('two\n')
    }
    const write = async (text: string): Promise<void> => void seen.push(text)
    await showResult(parts(), { size: undefined, taskId: 't', folders: [folder], write })
    assert.deepEqual(seen, ['one\n', 'two\n'])
  })

  const noText: Record<string, Array<string | Buffer>> = {
    'has a zero byte': ['text', '\u0000'],
    'is not UTF-8': [IMAGE],
    'ends in the middle of a character': ['text', Buffer.from([0xc3])],
  }
  for (const [what, parts] of Object.entries(noText)) {
    it(`is kept whole in a file of this user alone where it ${what}`, async () => {
      const whole = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)))
      const { kept, text } = await show(parts, { size: whole.byteLength })
      assert.equal(text, '')
      assert.deepEqual(kept, { file: join(folder, 'result-a-task.bin'), bytes: whole.byteLength, from: 0 })
      assert.deepEqual(await readFile(join(folder, 'result-a-task.bin')), whole)
      assert.equal((await stat(join(folder, 'result-a-task.bin'))).mode & 0o777, 0o600)
      assert.deepEqual(await readdir(folder), ['result-a-task.bin'])
    })
  }

  it('never replaces a file', async () => {
    await writeFile(join(folder, 'result-t.bin'), 'mine')
    const files = [await show([IMAGE], { taskId: 't' }), await show([IMAGE], { taskId: 't' })].map(({ kept }) => basename(kept?.file ?? ''))
    assert.deepEqual(files, ['result-t-2.bin', 'result-t-3.bin'])
    assert.equal(await readFile(join(folder, 'result-t.bin'), 'utf8'), 'mine')
  })

  it('goes to the next folder where the first cannot be written', async () => {
    const gone = await temp.make()
    await rm(gone, { recursive: true })
    const { kept } = await show([IMAGE], { folders: [gone, folder] })
    assert.equal(kept?.file, join(folder, 'result-a-task.bin'))
    await assert.rejects(show([IMAGE], { folders: [gone] }), {
      code: 'USAGE',
      message: `the task was accepted and the peer has acted, but its result is not text and cannot be kept in ${gone}: no such file or directory`,
    })
  })

  it('of many bytes that turns out late to be no text is kept from there on, and what was shown is said', async () => {
    const early = await show(['x'.repeat(1_000), IMAGE])
    assert.deepEqual([early.text, early.kept?.bytes, early.kept?.from], [`${'x'.repeat(1_000)}\n`, 1_000 + IMAGE.byteLength, 0])
    const late = await show(['x'.repeat(MIB), 'y', IMAGE, IMAGE], { taskId: 'late' })
    const { file = '', bytes, from = 0 } = late.kept ?? {}
    assert.deepEqual(
      Buffer.concat([Buffer.from(late.text).subarray(0, from), await readFile(file)]).byteLength,
      MIB + 1 + 2 * IMAGE.byteLength,
    )
    assert.equal(bytes, (await stat(file)).size)
  })

  it('that breaks off leaves no file', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield IMAGE
      throw new Error('broken off')
    }
    const write = async (): Promise<void> => undefined
    await assert.rejects(showResult(broken(), { size: undefined, taskId: 't', folders: [folder], write }), { message: 'broken off' })
    assert.deepEqual(await readdir(folder), [])
  })

  onSmallDisk(refusal, 'on a disk that is full goes to the next folder, or the error says that the peer has acted', async () => {
    const disk = await SmallDisk.open()
    try {
      const full = join(disk.path, 'here')
      await mkdir(full)
      await disk.fill()
      const whole = Buffer.alloc(MIB / 2)
      const { kept } = await show([whole], { size: whole.byteLength, folders: [full, folder] })
      assert.deepEqual(await readFile(kept?.file ?? ''), whole)
      await assert.rejects(show([whole, whole, whole], { folders: [full] }), /the peer has acted.*the disk is full/)
      assert.deepEqual(await readdir(full), [])
    } finally {
      await disk.close()
    }
  })

  async function* chunks(parts: Array<string | Buffer>): AsyncGenerator<Uint8Array> {
    for (const part of parts) {
      yield Buffer.from(part as Buffer)
    }
  }
})
