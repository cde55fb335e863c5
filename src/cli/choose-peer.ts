import { UsageError } from '../primitives/errors.ts'
import type { PeerRow } from '../session/answers.ts'
import { peerTable } from './text/peer-table.ts'

export interface Asker {
  /** Where to read what the command takes. */
  help: string
  /** Lets a question have the terminal; undefined where nobody is there to answer. */
  ask: (<T>(question: () => Promise<T>) => Promise<T>) | undefined
  /** Takes the question away. */
  signal: AbortSignal
  peers(): Promise<PeerRow[]>
}

/** What a list puts before each line. */
const MARK_COLUMNS = 2

/** The peer that somebody chooses from a list. @throws UsageError where nobody is there, or no peer */
export async function choosePeer({ help, ask, signal, peers }: Asker): Promise<string> {
  if (ask == null) {
    throw new UsageError('missing <peer>', {
      hint: `<peer>: a peer ID or a short form of it, an alias, or a multiaddr that ends in /p2p/<peer ID>; ${help}`,
    })
  }
  const known = await peers()
  if (known.length === 0) {
    throw new UsageError('missing <peer>, and there is none to choose from', {
      hint: 'name one; --bootstrap MULTIADDR says whom to connect to first, "subnet connect MULTIADDR" connects a node that runs',
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
