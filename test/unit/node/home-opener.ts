// A process that opens the database of a home when it is told to: node home-opener.ts HOME.
import { homeAt } from '../../../src/node/home/home.ts'
import { openHomeDatabase } from '../../../src/node/home/home-database.ts'

process.once('message', async () => {
  const database = await openHomeDatabase(homeAt(process.argv[2] ?? ''))
  database.close()
  process.disconnect()
})
process.send?.('ready')
