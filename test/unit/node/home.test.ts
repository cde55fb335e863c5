import assert from 'node:assert/strict'
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { ensureHome, homeAt, reasonOf } from '../../../src/node/home/home.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { TempFolders } from '../../support/temp.ts'

describe('the home of a node', () => {
  const folders = new TempFolders()
  let folder: string

  beforeEach(async () => {
    folder = await folders.make()
  })

  after(async () => folders.clean())

  async function modeOf(path: string): Promise<string> {
    return ((await stat(path)).mode & 0o7777).toString(8)
  }

  async function refused(path: string, says: RegExp): Promise<void> {
    await assert.rejects(
      async () => ensureHome(homeAt(path)),
      (error) => error instanceof UsageError && says.test(error.message) && /--home/.test(error.hint ?? ''),
    )
  }

  it('is made with all folders above it, for its user only', async () => {
    const path = join(folder, 'a', 'b')
    await ensureHome(homeAt(path))
    await ensureHome(homeAt(path))
    assert.equal(await modeOf(path), '700')
  })

  it('is refused at once where no folder can be made', async () => {
    await refused('/proc/subnet/a/b', /cannot create a folder in \/proc$/)
  })

  it('has the same place wherever one goes later', () => {
    assert.ok(isAbsolute(homeAt('here').path))
    assert.equal(homeAt('here').identityFile, join(process.cwd(), 'here', 'identity.key'))
  })

  it('is closed to others when it is empty, a node lives there, or nobody else writes there', async () => {
    for (const file of [undefined, 'identity.key', 'config.json', 'node.db', 'log of the shell']) {
      const path = join(folder, String(file))
      await mkdir(path)
      await chmod(path, 0o755)
      if (file != null) {
        await writeFile(join(path, file), '')
        await writeFile(join(path, 'other'), '')
      }
      await ensureHome(homeAt(path))
      assert.equal(await modeOf(path), '700')
    }
  })

  it('is no folder of other things that others may write: that is left as it is', async () => {
    await writeFile(join(folder, 'other'), '')
    await chmod(folder, 0o1777)
    await refused(folder, /it contains other files and is open to other users/)
    assert.equal(await modeOf(folder), '1777')
    await chmod(folder, 0o700)
    await ensureHome(homeAt(folder))
  })

  it('is no file, nothing below a file, and has a name', async () => {
    await writeFile(join(folder, 'file'), '')
    await refused(join(folder, 'file'), /file cannot be used: a file of this name exists$/)
    await refused(join(folder, 'file', 'home'), /home cannot be used: a part of its path is not a directory$/)
    await refused('', /^the path of the home is empty$/)
  })
})

describe('the reason why a file cannot be used', () => {
  it('is told without call and path', () => {
    assert.equal(reasonOf(Object.assign(new Error('ENOENT: no such file, open x'), { code: 'ENOENT' })), 'no such file or directory')
    assert.equal(reasonOf(Object.assign(new Error('ENOSPC: …, write'), { code: 'ENOSPC' })), 'the disk is full')
    assert.equal(reasonOf(new Error('anything\n else')), 'anything else')
    assert.equal(reasonOf('a text'), 'a text')
  })
})
