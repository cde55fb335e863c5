import { leastSizeOf } from '../least-size.ts'
import type { RuntimeTypes } from './runtime-types.ts'

const MAX_DEPTH = 4

/** The result of a transaction in its block. */
export interface DispatchOutcome {
  /** The reason of the failure in words; undefined on success. */
  failure: string | undefined
  /** The transaction's last own event, such as `Network.SubnetNodeUpdatePeerInfo`. */
  event: string
  /** The fee paid; undefined if no event shows it. */
  feePlanck: bigint | undefined
}

/** Decoded form: `{ type: pallet, value: { type: event, value } }`. */
interface Tagged {
  type: string
  value?: unknown
}

interface EventRecord {
  phase: Tagged
  event: { type: string; value: { type: string; value?: unknown } }
}

/** The storage key of a block's events. @throws Error if the chain has none */
export function eventsKey({ builder }: RuntimeTypes): string {
  return builder.buildStorage('System', 'Events').keys.enc()
}

/**
 * Reads the result of the transaction at this index from the events of its block.
 * @throws Error for unreadable events, or events without the transaction
 */
export function readOutcome(runtime: RuntimeTypes, events: string, index: number): DispatchOutcome {
  const system = runtime.metadata.pallets.find(({ name }) => name === 'System')
  const type = system?.storage?.items.find(({ name }) => name === 'Events')?.type
  if (type?.tag === 'plain') {
    leastSizeOf(runtime.types(type.value))
  }
  const records = runtime.builder.buildStorage('System', 'Events').value.dec(events) as EventRecord[]
  const own = records.filter(({ phase }) => phase.type === 'ApplyExtrinsic' && phase.value === index).map(({ event }) => event)
  const end = own.findLast(({ type, value }) => type === 'System' && ['ExtrinsicSuccess', 'ExtrinsicFailed'].includes(value.type))
  if (end == null) {
    throw new Error('no event tells the outcome')
  }
  const feePlanck = feeOf(own)
  const failed = end.value.type === 'ExtrinsicFailed'
  const last = failed ? end : (own.findLast(({ type }) => type === 'Network') ?? end)
  const failure = failed
    ? describeFailure(runtime, (end.value.value as { dispatch_error?: unknown } | undefined)?.dispatch_error)
    : undefined
  return { failure, event: `${last.type}.${last.value.type}`, feePlanck }
}

function feeOf(events: EventRecord['event'][]): bigint | undefined {
  const paid = events.findLast(({ type, value }) => type === 'TransactionPayment' && value.type === 'TransactionFeePaid')
  const fee = (paid?.value.value as { actual_fee?: unknown } | undefined)?.actual_fee
  return typeof fee === 'bigint' ? fee : undefined
}

/** For example `Network.NotKeyOwner (Not the key owner)`. */
function describeFailure(runtime: RuntimeTypes, error: unknown): string {
  const path: string[] = []
  for (let at = error; isTagged(at) && path.length < MAX_DEPTH; at = at.value) {
    path.push(at.type)
  }
  const names = path[0] === 'Module' ? path.slice(1) : path
  const docs = path[0] === 'Module' ? docsOf(runtime, names) : ''
  return `${names.join('.') || 'an unnamed error'}${docs === '' ? '' : ` (${docs})`}`
}

function isTagged(value: unknown): value is Tagged {
  return value != null && typeof value === 'object' && 'type' in value && typeof value.type === 'string'
}

/** The description of a pallet error in the metadata. */
function docsOf({ metadata }: RuntimeTypes, [pallet, error]: string[]): string {
  const errors = metadata.pallets.find(({ name }) => name === pallet)?.errors
  const def = errors == null ? undefined : metadata.lookup[errors.type]?.def
  const found = def?.tag === 'variant' ? def.value.find(({ name }) => name === error) : undefined
  return (found?.docs ?? []).join(' ').replace(/\s+/g, ' ').trim()
}
