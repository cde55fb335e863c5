import type { Attempt } from '../resolve/errors.ts'

/** A resolution has ended. */
export interface ResolutionEvent {
  peerId: string
  found: boolean
  ms: number
  attempts: Attempt[]
}

/** A connection or a peer was refused. Bursts are rate-limited: the next event counts the refusals in between. */
export interface RefusalEvent {
  /** One of a small, fixed set. */
  reason: string
  detail: string
  peerId?: string
  host?: string
  /** Refusals since the previous event, including this one. */
  count: number
}

/** Events about the decisions of a node's parts. */
export interface ObservedEvents {
  resolve: [ResolutionEvent]
  refusal: [RefusalEvent]
}

/** Emits these events. The node sets `tell`. */
export interface Observed {
  tell<Name extends keyof ObservedEvents>(name: Name, about: ObservedEvents[Name][0]): void
}
