import type { DatabaseSync } from 'node:sqlite'
import { CHAIN_ANSWERS_SCHEMA } from '../chain/hypertensor/chain-answers-schema.ts'
import { ADDRESS_BOOK_SCHEMA, upgradeAddressBook } from '../gossip/address-book.ts'
import { openDatabase } from '../primitives/database.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import { ALIAS_SCHEMA } from './aliases.ts'
import type { Home } from './home.ts'

/** Opens what a home remembers: the address book, the aliases, what chains said last. Many processes may have it open. @throws UsageError */
export async function openHomeDatabase(home: Home): Promise<DatabaseSync> {
  return openDatabase(home.databaseFile, ADDRESS_BOOK_SCHEMA + ALIAS_SCHEMA + CHAIN_ANSWERS_SCHEMA, upgradeAddressBook).catch((cause) => {
    throw new UsageError(`the address book ${home.databaseFile} cannot be opened: ${describeError(cause)}`, {
      cause,
      hint: 'move it away: a new one is made, and heartbeats fill it; aliases have to be set again',
    })
  })
}
