import { humanMs } from '../primitives/human-ms.ts'
import type { ChainAnswer, FreshnessAnswer } from './answers.ts'

/** The note beside a stale answer, positive or negative, from before the chain became unavailable. */
export function staleNotice({ stale, block, readAtMs }: FreshnessAnswer): string | undefined {
  // block 0 means not reported
  const at = block === 0 ? '' : ` at block ${block},`
  return stale ? `the chain is unreachable: this is its answer${at} from ${humanMs(Math.max(0, Date.now() - readAtMs))} ago` : undefined
}

/** `main peer of node 3, class validator` */
export function describePlace({ role, nodeId, class: nodeClass }: Pick<ChainAnswer, 'role' | 'nodeId' | 'class'>): string {
  const what = role === 'overwatch' ? 'overwatch peer' : role == null ? undefined : `${role} peer`
  const of = role === 'overwatch' ? 'overwatch node' : 'node'
  const where = nodeId == null ? (what == null ? undefined : `${what} of the subnet itself`) : `${what ?? 'peer'} of ${of} ${nodeId}`
  return [where, nodeClass == null ? undefined : `class ${nodeClass}`].filter((part) => part != null).join(', ')
}
