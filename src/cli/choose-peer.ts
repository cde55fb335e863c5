import { UsageError } from '../primitives/errors.ts'
import type { PeerRow } from '../session/answers.ts'
import { peerTable } from './text/peer-table.ts'

export interface Asker {
  /** A hint to the command's help. */
  help: string
  /** Gives the terminal to a question; undefined if no person can answer. */
  ask: (<T>(question: () => Promise<T>) => Promise<T>) | undefined
  /** Cancels the question. */
  signal: AbortSignal
  peers(): Promise<PeerRow[]>
}

/** The columns before each line of a list. */
const MARK_COLUMNS = 2

/** Asks the user to choose a peer from a list. @throws UsageError if no person can answer, or there is no peer */
export async function choosePeer({ help, ask, signal, peers }: Asker): Promise<string> {
  if (ask == null) {
    throw new UsageError('missing <peer>', {
      hint: `<peer>: a peer ID or a short form of it, an alias, or a multiaddr that ends in /p2p/<peer ID>; ${help}`,
    })
  }
  const known = await peers()
  if (known.length === 0) {
    throw new UsageError('missing <peer>, and there is none to choose from', {
      hint: 'name a peer; --bootstrap MULTIADDR names a peer to connect to first, "subnet connect MULTIADDR" connects the running node',
    })
  }
  const [, ...lines] = peerTable(known, process.stderr.columns - MARK_COLUMNS).split('\n')
  const { choose } = await import('./text/prompt.ts')
  return ask(async () =>
    choose(
      'Which peer?',
      known.map(({ peerId }, index) => ({ value: peerId, name: lines[index] ?? peerId })),
      signal,
    ),
  )
}
