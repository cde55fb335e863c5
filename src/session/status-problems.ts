import type { Settings } from '../node/home/config.ts'
import type { StatusProblem } from './session.ts'

/** What a node knows of itself that may be a problem. */
export interface NodeFacts {
  settings: Pick<Settings, 'bootstrap'>
  /** How many there are. */
  addresses: number
  connections: number
  /** Why bootstraps refuse this node, where that is why it is connected to nobody. */
  bootstrapRefusals: string[]
  /** What is wrong with the chain. */
  chain: string[]
  /** Why the chain does not have the addresses of a node that publishes them. */
  publishing: StatusProblem | undefined
  /** Why others like this node would not let it in. */
  ownRefusal: string | undefined
  /** That it turned newcomers away. */
  full: string | undefined
  /** How far its clock is off. */
  clock: string | undefined
  /** Why its address book cannot be written. */
  book: { code: 'USAGE' | 'TIMEOUT'; message: string; hint: string | undefined } | undefined
}

/** The problems of a node. One that gossip does not believe goes on. */
export function statusProblems(facts: NodeFacts): StatusProblem[] {
  const { settings, bootstrapRefusals, publishing, ownRefusal, full, clock, book } = facts
  const isAlone = settings.bootstrap.length > 0 && facts.connections === 0 && bootstrapRefusals.length === 0
  return [
    ...(facts.addresses === 0 ? [error('UNREACHABLE', 'the node has no address that others could dial')] : []),
    ...bootstrapRefusals.map((message) => error('NOT_ADMITTED', message)),
    ...(isAlone ? [error('UNREACHABLE', 'the node has bootstraps, and is connected to nobody')] : []),
    ...facts.chain.map((message) => error('CHAIN_UNAVAILABLE', message)),
    ...(publishing == null ? [] : [publishing]),
    ...(ownRefusal == null ? [] : [error('NOT_ADMITTED', `others like this node would not let it in: ${ownRefusal}`)]),
    ...(book == null ? [] : [error(book.code, `${book.message} (${book.hint}); until then what peers tell is forgotten`)]),
    ...(full == null ? [] : [error('LIMIT_EXCEEDED', full)]),
    ...(clock == null ? [] : [{ code: 'CLOCK_OFF', severity: 'warning', message: clock } as const]),
  ]
}

function error(code: Exclude<StatusProblem['code'], 'CLOCK_OFF'>, message: string): StatusProblem {
  return { code, severity: 'error', message }
}
