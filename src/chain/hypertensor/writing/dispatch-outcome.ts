import { leastSizeOf } from '../least-size.ts'
import type { RuntimeTypes } from './runtime-types.ts'

const MAX_DEPTH = 4

/** What a block did with one of its transactions. */
export interface DispatchOutcome {
  /** Why it failed, in words; undefined where it did what it says. */
  failure: string | undefined
  /** The last event of its own, as `Network.SubnetNodeUpdatePeerInfo`. */
  event: string
  /** What was taken for it; undefined where no event says so. */
  feePlanck: bigint | undefined
}

/** As decoded: `{ type: pallet, value: { type: event, value } }`. */
interface Tagged {
  type: string
  value?: unknown
}

interface EventRecord {
  phase: Tagged
  event: { type: string; value: { type: string; value?: unknown } }
}

/** Where the events of a block are. @throws Error where the chain has none */
export function eventsKey({ builder }: RuntimeTypes): string {
  return builder.buildStorage('System', 'Events').keys.enc()
}

/** What the events of a block say of the transaction at this place in it. @throws Error for events that cannot be read, or say nothing of it */
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
    throw new Error('no event says how it ended')
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

/** `Network.NotKeyOwner (Not the key owner)` */
function describeFailure(runtime: RuntimeTypes, error: unknown): string {
  const path: string[] = []
  for (let at = error; isTagged(at) && path.length < MAX_DEPTH; at = at.value) {
    path.push(at.type)
  }
  const names = path[0] === 'Module' ? path.slice(1) : path
  const docs = path[0] === 'Module' ? docsOf(runtime, names) : ''
  return `${names.join('.') || 'an error that is not named'}${docs === '' ? '' : ` (${docs})`}`
}

function isTagged(value: unknown): value is Tagged {
  return value != null && typeof value === 'object' && 'type' in value && typeof value.type === 'string'
}

/** What the metadata say of an error of a pallet. */
function docsOf({ metadata }: RuntimeTypes, [pallet, error]: string[]): string {
  const errors = metadata.pallets.find(({ name }) => name === pallet)?.errors
  const def = errors == null ? undefined : metadata.lookup[errors.type]?.def
  const found = def?.tag === 'variant' ? def.value.find(({ name }) => name === error) : undefined
  return (found?.docs ?? []).join(' ').replace(/\s+/g, ' ').trim()
}
