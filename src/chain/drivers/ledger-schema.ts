import { DatabaseSync } from 'node:sqlite'
import { applyMigration, type Migration, versionOf } from '../../primitives/database.ts'
import type { DatabaseFile } from '../../primitives/database-error.ts'

const TABLES = ['ledger', 'registration'] as const

/** Addresses and registrations. A file of 0.1.0 may lack either table until the first write. */
export type LedgerTable = (typeof TABLES)[number]

const tableOfVersion1 = (table: LedgerTable): string => `
  CREATE TABLE IF NOT EXISTS ${table} (
    subnet_id INTEGER NOT NULL,
    peer_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (subnet_id, peer_id)
  ) STRICT, WITHOUT ROWID;
`

/**
 * The migrations of a ledger, in order. Released migrations never change: a new column is one more line. Only a write migrates a file, and
 * a read-only file keeps its version. Code that reads a new column must therefore also read files without it.
 */
export const LEDGER_MIGRATIONS: readonly Migration[] = [
  // 0.1.0 created the same tables without a version number, and the second one only at the first registration
  TABLES.map(tableOfVersion1).join(''),
]

/** The expected tables by version, as each version of this program creates them. */
const expected = new Map<number, Map<string, string>>()

/**
 * Any user may write the file. A view in place of a table, or a trigger, would run code of its author in this process. Returns the existing
 * tables.
 * @throws Error, DatabaseVersionError
 */
export function checkLedger(database: DatabaseSync, about: DatabaseFile): LedgerTable[] {
  const version = versionOf(database, about, LEDGER_MIGRATIONS)
  const objects = database.prepare('SELECT type, lower(name) AS name, sql FROM sqlite_schema').all()
  const isThere = (table: LedgerTable): boolean => objects.some(({ name }) => name === table)
  const tables = version === 0 ? TABLES.filter(isThere) : TABLES
  const made = tablesOf(Math.max(version, 1))
  const isPlain = (table: LedgerTable): boolean => objects.some(({ name, sql }) => name === table && plain(sql) === made.get(table))
  if (objects.some(({ type }) => type === 'view' || type === 'trigger') || !tables.every(isPlain)) {
    throw new Error('the file is a database, but not a ledger')
  }
  return [...tables]
}

function tablesOf(version: number): Map<string, string> {
  const known = expected.get(version)
  if (known != null) {
    return known
  }
  const model = new DatabaseSync(':memory:')
  try {
    for (const migration of LEDGER_MIGRATIONS.slice(0, version)) {
      applyMigration(model, migration)
    }
    const tables = model.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all()
    const found = new Map(tables.map(({ name, sql }) => [String(name), plain(sql)]))
    expected.set(version, found)
    return found
  } finally {
    model.close()
  }
}

/** SQL in a normalized form, independent of its formatting. */
function plain(sql: unknown): string {
  return String(sql).replace(/\s+/g, ' ').replace('IF NOT EXISTS ', '').replace(/;? *$/, '').trim()
}
