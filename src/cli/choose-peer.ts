import { UsageError } from '../primitives/errors.ts'
import type { PeerRow } from '../session/session.ts'
import { peerTable } from './peer-table.ts'

export interface Asker {
  /** Whether somebody is there to answer. */
  canAsk: boolean
  /** Lets a question have the terminal. */
  ask<T>(question: () => Promise<T>): Promise<T>
  peers(): Promise<PeerRow[]>
}

/** The peer that was named; where none was, the one that somebody chooses from a list. @throws UsageError where nobody is there */
export async function peerArgument(given: string | undefined, { canAsk, ask, peers }: Asker): Promise<string> {
  if (given != null) {
    return given
  }
  if (!canAsk) {
    throw new UsageError('missing <peer>', { hint: '<peer>: a peer ID, an alias, or a multiaddr that ends in /p2p/<peer ID>' })
  }
  const known = await peers()
  if (known.length === 0) {
    throw new UsageError('missing <peer>, and there is none to choose from', { hint: '"subnet connect MULTIADDR" connects to one' })
  }
  const [, ...lines] = peerTable(known, process.stderr.columns).split('\n')
  const { choose } = await import('./prompt.ts')
  return ask(async () =>
    choose(
      'Which peer?',
      known.map(({ peerId }, index) => ({ value: peerId, name: lines[index] ?? peerId })),
    ),
  )
}
