import { CHAIN_ANSWERS_SCHEMA } from '../../chain/hypertensor/chain-answers-schema.ts'
import { ADDRESS_BOOK_SCHEMA, completeAddressBook } from '../../gossip/book-rows.ts'
import { type Database, type Migration, openDatabase } from '../../primitives/database.ts'
import { describeError, SubnetError, UsageError } from '../../primitives/errors.ts'
import { ALIAS_SCHEMA } from './aliases.ts'
import type { Home } from './home.ts'

/** Advice for a damaged `node.db`. */
export const IF_DAMAGED = 'move it away: a new one is made, and heartbeats fill it; aliases have to be set again'
const ELSEWHERE = '--home names another home'

/**
 * Migrations of `node.db`, in order. A released migration is never changed: a new column is a new entry, for example `'ALTER TABLE
 * address_book ADD COLUMN note TEXT'`.
 */
export const HOME_MIGRATIONS: readonly Migration[] = [
  (database) => {
    // 0.1.0 created these tables without a version number
    database.exec(ADDRESS_BOOK_SCHEMA + ALIAS_SCHEMA + CHAIN_ANSWERS_SCHEMA)
    completeAddressBook(database)
  },
]

/**
 * Opens a home's database: the address book, the aliases and cached chain answers. Several processes may have it open. @throws
 * DatabaseError, DatabaseVersionError, UsageError
 */
export async function openHomeDatabase(home: Home): Promise<Database> {
  const about = { file: home.databaseFile, name: 'the address book', ifDamaged: IF_DAMAGED, elsewhere: ELSEWHERE }
  return openDatabase(about, HOME_MIGRATIONS).catch((cause) => {
    throw cause instanceof SubnetError
      ? cause
      : new UsageError(`the address book ${home.databaseFile} is the database of another program: ${describeError(cause)}`, {
          cause,
          hint: IF_DAMAGED,
        })
  })
}
