import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openOutput } from '../../../src/cli/output-file.ts'
import { payloadOf, textPayload } from '../../../src/cli/payload.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../src/protocol/errors.ts'
import { collectPayload } from '../../../src/session/in-time.ts'
import { TempFolders } from '../../support/temp.ts'

const folders = new TempFolders()
let folder: string

describe('the payload of a task', () => {
  before(async () => {
    folder = await folders.make()
    await writeFile(join(folder, 'file'), Buffer.alloc(100, 'x'))
  })

  after(async () => folders.clean())

  async function read(
    payload: string | undefined,
    text?: string,
    maxBytes = 1_000,
    signal = new AbortController().signal,
  ): Promise<Uint8Array> {
    return collectPayload(payloadOf({ payload, text }, { signal, timeoutMs: 10_000 }), maxBytes, { signal })
  }

  it('is a file or a text, and may be empty', async () => {
    assert.equal((await read(join(folder, 'file'))).byteLength, 100)
    assert.equal((await read('/dev/null')).byteLength, 0)
    assert.equal(Buffer.from(await read(undefined, 'ü')).toString(), 'ü')
    assert.equal((await read(undefined, '')).byteLength, 0)
  })

  it('is one of them', async () => {
    await assert.rejects(read(undefined), UsageError)
    await assert.rejects(read('file', ''), UsageError)
  })

  it('is as large as may be, not larger, and is not read on then', async () => {
    const limit = (error: unknown): boolean =>
      error instanceof ProtocolError && error.code === 'LIMIT_EXCEEDED' && /--max-frame/.test(error.hint ?? '')
    assert.equal((await read(join(folder, 'file'), undefined, 100)).byteLength, 100)
    await assert.rejects(read(join(folder, 'file'), undefined, 99), limit)
    await assert.rejects(read('/dev/zero'), limit)
    await assert.rejects(read(undefined, 'üü', 3), limit)
  })

  it('is given up when the command ends', async () => {
    const reason = new Error('the user had enough')
    await assert.rejects(read('/dev/zero', undefined, Number.POSITIVE_INFINITY, AbortSignal.abort(reason)), reason)
    const enough = new AbortController()
    const reading = read('/dev/zero', undefined, Number.POSITIVE_INFINITY, enough.signal)
    setImmediate(() => enough.abort(reason))
    await assert.rejects(reading, reason)
  })
})

describe('the file of a result', () => {
  beforeEach(async () => {
    folder = await folders.make()
  })

  after(async () => folders.clean())

  it('is there whole, with the mode of the file in whose place it is', async () => {
    const path = join(folder, 'result')
    const first = await openOutput(path)
    assert.deepEqual((await readdir(folder)).includes('result'), false)
    await first.finish(textPayload('first'))
    await first.discard()
    assert.equal(await readFile(path, 'utf8'), 'first')
    await writeFile(join(folder, 'private'), '', { mode: 0o600 })
    await (await openOutput(join(folder, 'private'))).finish(textPayload('second'))
    assert.equal((await stat(join(folder, 'private'))).mode & 0o777, 0o600)
    assert.deepEqual((await readdir(folder)).sort(), ['private', 'result'])
  })

  it('is not there at all when there is no result', async () => {
    const output = await openOutput(join(folder, 'result'))
    await output.discard()
    await output.discard()
    assert.deepEqual(await readdir(folder), [])
  })

  it('is not there when the result breaks off, and the error is the one that broke it', async () => {
    const output = await openOutput(join(folder, 'result'))
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half')
      throw new Error('gone')
    }
    await assert.rejects(output.finish(broken()), { message: 'gone' })
    await output.discard()
    assert.deepEqual(await readdir(folder), [])
  })

  it('may be what a link names', async () => {
    await writeFile(join(folder, 'file'), 'before')
    await symlink('file', join(folder, 'link'))
    await (await openOutput(join(folder, 'link'))).finish(textPayload('after'))
    assert.equal(await readFile(join(folder, 'file'), 'utf8'), 'after')
  })

  it('is found out to be none before any work is done', async () => {
    await mkdir(join(folder, 'directory'))
    await assert.rejects(openOutput(join(folder, 'directory')), /directory cannot be written: it is a directory$/)
    await assert.rejects(openOutput(join(folder, 'none', 'result')), /result cannot be written: no such file or directory$/)
  })

  it('may be a device', async () => {
    const output = await openOutput('/dev/null')
    await output.finish(textPayload('x'))
    await output.discard()
    assert.ok((await stat('/dev/null')).isCharacterDevice())
  })
})
