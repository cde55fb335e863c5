import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { chmod, link, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type OutputFile, openOutput as open } from '../../../src/cli/output-file.ts'
import { payloadOf, textPayload } from '../../../src/cli/payload.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { collectPayload } from '../../../src/session/collect-payload.ts'
import { asAnyUser } from '../../support/any-user.ts'
import { TempFolders } from '../../support/temp.ts'

const execFileOf = async (program: string, file: string): Promise<{ stdout: string }> =>
  promisify(execFile)(program, [file], { maxBuffer: 1 << 24 })
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
  const openOutput = async (path: string, signal = new AbortController().signal): Promise<OutputFile> => open(path, { signal })

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

  it('keeps the mode of a file that is there, whatever this process takes away', async () => {
    for (const mode of [0o666, 0o640, 0o751]) {
      const path = join(folder, `mode ${mode}`)
      await writeFile(path, 'before')
      await chmod(path, mode)
      await (await openOutput(path)).finish(textPayload('after'))
      assert.equal((await stat(path)).mode & 0o7777, mode)
      assert.equal(await readFile(path, 'utf8'), 'after')
    }
  })

  it('is made where a link leads that leads to nothing yet', async () => {
    await mkdir(join(folder, 'elsewhere'))
    await symlink('elsewhere/second', join(folder, 'first'))
    await symlink('third', join(folder, 'elsewhere', 'second'))
    await (await openOutput(join(folder, 'first'))).finish(textPayload('through two links'))
    assert.equal(await readFile(join(folder, 'elsewhere', 'third'), 'utf8'), 'through two links')
    assert.ok((await lstat(join(folder, 'first'))).isSymbolicLink())
    await symlink('circle', join(folder, 'circle'))
    await assert.rejects(openOutput(join(folder, 'circle')), {
      code: 'USAGE',
      message: /circle cannot be written: its symbolic links form a loop$/,
    })
  })

  it('leaves other names of the file as they were', async () => {
    const [path, other] = [join(folder, 'name'), join(folder, 'other name')]
    await writeFile(path, 'before')
    await link(path, other)
    await (await openOutput(path)).finish(textPayload('after'))
    assert.equal(await readFile(path, 'utf8'), 'after')
    assert.equal(await readFile(other, 'utf8'), 'before')
  })

  it('is none that may not be written, though its folder may', async () => {
    const path = join(folder, 'protected')
    await writeFile(path, 'before', { mode: 0o444 })
    await chmod(folder, 0o777)
    await asAnyUser(async () => {
      await assert.rejects(openOutput(path), { code: 'USAGE', message: /protected cannot be written: permission denied$/ })
    })
    assert.equal(await readFile(path, 'utf8'), 'before')
    assert.deepEqual(await readdir(folder), ['protected'])
  })

  it('may have a name as long as names may be', async () => {
    const path = join(folder, 'n'.repeat(255))
    await (await openOutput(path)).finish(textPayload('x'))
    assert.deepEqual(await readdir(folder), ['n'.repeat(255)])
  })

  it('may be a device', async () => {
    const output = await openOutput('/dev/null')
    await output.finish(textPayload('x'))
    await output.discard()
    assert.ok((await stat('/dev/null')).isCharacterDevice())
    await assert.rejects((await openOutput('/dev/full')).finish(textPayload('x')), { code: 'USAGE', message: /the disk is full$/ })
  })

  describe('that is a pipe', () => {
    let pipe: string

    beforeEach(async () => {
      pipe = join(folder, 'pipe')
      await promisify(execFile)('mkfifo', [pipe])
    })

    it('waits for a reader, who gets all of it, and stays a pipe', async () => {
      const opening = openOutput(pipe)
      const reader = execFileOf('cat', pipe)
      await (await opening).finish(
        (async function* () {
          yield Buffer.alloc(1_000_000, 'x')
          yield Buffer.from('end')
        })(),
      )
      assert.equal((await reader).stdout, `${'x'.repeat(1_000_000)}end`)
      assert.ok((await stat(pipe)).isFIFO())
    })

    it('is given up when the command is, with a reader or without', async () => {
      const reason = new Error('the user had enough')
      const enough = new AbortController()
      const opening = openOutput(pipe, enough.signal)
      enough.abort(reason)
      await assert.rejects(opening, reason)
      await assert.rejects(open(pipe, { signal: new AbortController().signal, timeoutMs: 1 }), { name: 'TimeoutError' })
      const later = new AbortController()
      const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
      try {
        const output = await openOutput(pipe, later.signal)
        const writing = output.finish(textPayload('x'.repeat(1_000_000)))
        setImmediate(() => later.abort(reason))
        await assert.rejects(writing, reason)
      } finally {
        closeSync(reader)
      }
    })

    it('whose reader goes away is named', async () => {
      const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
      const output = await openOutput(pipe)
      closeSync(reader)
      await assert.rejects(output.finish(textPayload('x')), {
        code: 'USAGE',
        message: /pipe cannot be written: the reader closed the pipe$/,
      })
    })
  })
})
