import { readFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'

/** The time, in Unix milliseconds, at which the old databases were written. */
export const WRITTEN_AT_MS = 1_800_000_000_000

/** Makes a database as an earlier version of this program left it: `test/fixtures/databases` has them as SQL. */
export async function makeOldDatabase(file: string, name: 'node-0.1.0' | 'ledger-0.1.0'): Promise<void> {
  const sql = await readFile(new URL(`../fixtures/databases/${name}.sql`, import.meta.url), 'utf8')
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}

/** The version that stands in a database. */
export function versionIn(file: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database.prepare('PRAGMA user_version').get()?.user_version
  } finally {
    database.close()
  }
}

/** Makes a database look as if a much newer version had written it. */
export function makeNewer(file: string): void {
  const database = new DatabaseSync(file)
  database.exec('PRAGMA user_version = 1000')
  database.close()
}
