/** What a command can end with, and the exit code of each. The contract of the whole tool: never renumber. */
export const EXIT_CODES = {
  INTERNAL: 1,
  USAGE: 2,
  PEER_NOT_FOUND: 3,
  UNREACHABLE: 4,
  PROTOCOL_UNSUPPORTED: 5,
  TIMEOUT: 6,
  TASK_REJECTED: 7,
  REMOTE_FAILED: 8,
  LIMIT_EXCEEDED: 9,
  CHAIN_UNAVAILABLE: 10,
  ALREADY_RUNNING: 11,
  NOT_ADMITTED: 12,
  NOT_RUNNING: 13,
} as const

/** The code of any error of this package. */
export type ErrorCode = keyof typeof EXIT_CODES

/** What an error takes beside its message. */
export interface SubnetErrorOptions extends ErrorOptions {
  /** One line that says what to do about it. */
  hint?: string | undefined
}

/** The root of every error this package throws on purpose. `message` is one line that says what was wrong and where. */
export abstract class SubnetError extends Error {
  abstract readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(message: string, options: SubnetErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.hint = options.hint
  }
}

/** Wrong flags, arguments, configuration or input files; nothing was sent anywhere. */
export class UsageError extends SubnetError {
  override readonly name = 'UsageError'
  readonly code = 'USAGE'
}

/** More than this process may keep of something at a time. */
export class CapacityError extends SubnetError {
  override readonly name = 'CapacityError'
  readonly code = 'LIMIT_EXCEEDED'
}

/** The text of anything that was thrown, on one line, without the empty message of an AggregateError. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(describeError))].join('; ')
  }
  // libp2p rejects some waits with the event that ended them
  if (error instanceof Event) {
    return 'error' in error && error.error != null ? describeError(error.error) : error.type
  }
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\s*\n\s*/g, ' ').trim()
}
