import type { Attempt } from '../resolve/errors.ts'

/** A resolution that has ended. */
export interface ResolutionEvent {
  peerId: string
  found: boolean
  ms: number
  attempts: Attempt[]
}

/** A connection or a peer that was refused. Of many at once only some are told, and the others are counted. */
export interface RefusalEvent {
  /** One of few. */
  reason: string
  detail: string
  peerId?: string
  host?: string
  /** As many since the last that was told, this one included. */
  count: number
}

/** What the parts of a node decide. */
export interface ObservedEvents {
  resolve: [ResolutionEvent]
  refusal: [RefusalEvent]
}

/** Where that goes: the node sets it. */
export interface Observed {
  tell<Name extends keyof ObservedEvents>(name: Name, about: ObservedEvents[Name][0]): void
}
