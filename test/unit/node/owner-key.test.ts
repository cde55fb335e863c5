import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkOwnerKeyName, readOwnerKey } from '../../../src/node/home/owner-key.ts'
import { OWNER, OWNER_KEY } from '../../support/owner.ts'
import { TempFolders } from '../../support/temp.ts'

describe('the file of an owner key', () => {
  const folders = new TempFolders()

  after(async () => folders.clean())

  async function fileOf(text: string, mode = 0o600): Promise<string> {
    const file = join(await folders.make(), 'owner.key')
    await writeFile(file, text)
    await chmod(file, mode)
    return file
  }

  it('is read where only its owner can read it', async () => {
    for (const mode of [0o600, 0o400]) {
      assert.equal((await readOwnerKey(await fileOf(`0x${OWNER_KEY}\n`, mode))).account, OWNER.account)
    }
  })

  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o666]) {
    it(`is refused where others could: ${mode.toString(8)}`, async () => {
      const file = await fileOf(OWNER_KEY, mode)
      await assert.rejects(readOwnerKey(file), {
        code: 'USAGE',
        message: `owner key ${file} can be read by others (mode 0${mode.toString(8)}): it is not used`,
        hint: `chmod 600 ${file}`,
      })
    })
  }

  it('is refused where it holds no key, without telling what it holds', async () => {
    for (const text of ['', `${OWNER_KEY}ff`, `${OWNER_KEY} ${OWNER_KEY}`, '0'.repeat(64), 'x'.repeat(9_999)]) {
      await assert.rejects(readOwnerKey(await fileOf(text)), (error: Error & { code: string }) => {
        assert.equal(error.code, 'USAGE')
        assert.match(error.message, /^owner key .*owner\.key cannot be used: /)
        const told = [error.message, error.stack, String(error.cause), JSON.stringify(error)].join()
        return !told.includes(OWNER_KEY) && !told.includes('x'.repeat(99))
      })
    }
  })

  it('is refused where it is no file', async () => {
    const folder = await folders.make()
    await mkdir(join(folder, 'owner.key'), { mode: 0o700 })
    await assert.rejects(readOwnerKey(join(folder, 'owner.key')), { code: 'USAGE', message: /is not a regular file$|cannot be read/ })
    await assert.rejects(readOwnerKey(join(folder, 'none')), { code: 'USAGE', message: /owner key .*none cannot be read: / })
  })

  it('is named, never given: a key in its place is refused and not told', () => {
    assert.equal(checkOwnerKeyName('owner.key'), 'owner.key')
    for (const name of [OWNER_KEY, `0x${OWNER_KEY}`]) {
      assert.throws(
        () => checkOwnerKeyName(name),
        (error: Error & { code: string; hint: string }) =>
          error.code === 'USAGE' && /a key itself/.test(error.message) && !`${error.message}${error.hint}`.includes(OWNER_KEY),
      )
    }
  })
})
