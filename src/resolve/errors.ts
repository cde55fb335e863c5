import { SubnetError, type SubnetErrorOptions } from '../primitives/errors.ts'

/** The result of a tier; `skipped` if an earlier tier had the answer. */
export type Outcome = 'hit' | 'miss' | 'error' | 'timeout' | 'skipped'

/** One step of a resolution, successful or not. */
export interface Attempt {
  /** The tier's name. */
  tier: string
  outcome: Outcome
  ms: number
  detail: string
}

/** Why there is no address, or no connection. */
export type ResolveErrorCode = 'PEER_NOT_FOUND' | 'UNREACHABLE' | 'NOT_ADMITTED' | 'CHAIN_UNAVAILABLE'

/** No tier found an address that could be used; `attempts` lists the result of each tier. */
export class ResolveError extends SubnetError {
  override readonly name = 'ResolveError'
  readonly code: ResolveErrorCode
  readonly attempts: Attempt[]

  constructor(code: ResolveErrorCode, message: string, attempts: Attempt[], options?: SubnetErrorOptions) {
    super(message, options)
    this.code = code
    this.attempts = attempts
  }
}
