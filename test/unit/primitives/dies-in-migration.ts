// A process that dies inside its last migration: node dies-in-migration.ts FILE MIGRATION…
import { openDatabase } from '../../../src/primitives/database.ts'

const [file = '', ...migrations] = process.argv.slice(2)
await openDatabase({ file }, [
  ...migrations,
  () => {
    process.kill(process.pid, 'SIGKILL')
    for (;;) {
      // the signal comes at once
    }
  },
])
