// Adds one to the number in a file, many times, each under the file's lock: node adds-under-lock.ts FILE COUNT [holds]
import { readFile, writeFile } from 'node:fs/promises'
import { lockFileInTime } from '../../../src/primitives/file-lock.ts'

const [file = '', count, holds] = process.argv.slice(2)
for (let i = 0; i < Number(count); i++) {
  using _lock = await lockFileInTime(file)
  await writeFile(file, String(Number(await readFile(file, 'utf8')) + 1))
  if (holds != null) {
    process.send?.('locked')
    await new Promise(() => process.on('message', () => undefined))
  }
}
process.disconnect()
