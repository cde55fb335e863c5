import type { Settings } from '../node/home/config.ts'
import type { StatusProblem } from './answers.ts'

/** The facts from which a node's problems are derived. */
export interface NodeFacts {
  settings: Pick<Settings, 'bootstrap'>
  /** The number of addresses. */
  addresses: number
  connections: number
  /** The refusals by bootstraps, if they explain why the node has no connections. */
  bootstrapRefusals: string[]
  /** The faults of the chain. */
  chain: string[]
  /** The reason why a publishing node's addresses are missing on the chain. */
  publishing: StatusProblem | undefined
  /** The reason why other peers with this configuration would not admit this node. */
  ownRefusal: string | undefined
  /** A message if the node refused newcomers. */
  full: string | undefined
  /** The clock error, as a message. */
  clock: string | undefined
  /** The reason why the address book cannot be written. */
  book: { code: 'USAGE' | 'TIMEOUT'; message: string; hint: string | undefined } | undefined
}

/** The problems of a node. A wrong clock is only a warning. */
export function statusProblems(facts: NodeFacts): StatusProblem[] {
  const { settings, bootstrapRefusals, publishing, ownRefusal, full, clock, book } = facts
  const isAlone = settings.bootstrap.length > 0 && facts.connections === 0 && bootstrapRefusals.length === 0
  return [
    ...(facts.addresses === 0 ? [error('UNREACHABLE', 'the node has no address that peers can dial')] : []),
    ...bootstrapRefusals.map((message) => error('NOT_ADMITTED', message)),
    ...(isAlone ? [error('UNREACHABLE', 'the node has bootstraps, but no connected peer')] : []),
    ...facts.chain.map((message) => error('CHAIN_UNAVAILABLE', message)),
    ...(publishing == null ? [] : [publishing]),
    ...(ownRefusal == null ? [] : [error('NOT_ADMITTED', `peers that require registration refuse this node: ${ownRefusal}`)]),
    ...(book == null ? [] : [error(book.code, `${book.message} (${book.hint}); until then the node forgets what it learns of peers`)]),
    ...(full == null ? [] : [error('LIMIT_EXCEEDED', full)]),
    ...(clock == null ? [] : [{ code: 'CLOCK_OFF', severity: 'warning', message: clock } as const]),
  ]
}

function error(code: Exclude<StatusProblem['code'], 'CLOCK_OFF'>, message: string): StatusProblem {
  return { code, severity: 'error', message }
}
