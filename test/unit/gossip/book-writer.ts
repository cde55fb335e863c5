// A process that writes into an address book: node book-writer.ts FILE COUNT. Tells each sequence number once it is written.
import { AddressBook } from '../../../src/gossip/address-book.ts'
import { HOME_MIGRATIONS } from '../../../src/node/home/home-database.ts'
import { openDatabase } from '../../../src/primitives/database.ts'
import { newPeer, newPeers } from '../../support/keys.ts'
import { signedEntry } from './temporary-book.ts'

const [file = '', count = ''] = process.argv.slice(2)
const book = new AddressBook(await openDatabase({ file }, HOME_MIGRATIONS))
const own = await newPeer()
process.stdout.write(`${own.peerId.toString()}\n`)
for (let written = 0; written < Number(count); written++) {
  const seq = await book.nextSequence()
  const nowMs = Date.now()
  const [other] = await newPeers(1)
  if (other != null) {
    await book.put(await signedEntry(other, seq, { seenAtMs: nowMs }))
  }
  await book.put(await signedEntry(own, seq, { seenAtMs: nowMs }))
  process.stdout.write(`${seq}\n`)
}
