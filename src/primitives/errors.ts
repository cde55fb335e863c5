/** The outcomes of a command with their exit codes. A contract of the whole tool: never renumber. */
export const EXIT_CODES = {
  /** a bug */
  INTERNAL: 1,
  /** wrong flags, arguments, command, configuration or input file */
  USAGE: 2,
  /** no tier gave an address; each tier's outcome is listed */
  PEER_NOT_FOUND: 3,
  /** addresses, but no connection; each address's own error is listed */
  UNREACHABLE: 4,
  /** connected, but the peer does not speak the protocol */
  PROTOCOL_UNSUPPORTED: 5,
  /** says which step took too long, and whether the peer may have acted */
  TIMEOUT: 6,
  /** the peer rejected the task, and says why */
  TASK_REJECTED: 7,
  /** the peer closed or broke the stream, or sent what cannot be decoded */
  REMOTE_FAILED: 8,
  /** says which limit, its value, and the flag that raises it */
  LIMIT_EXCEEDED: 9,
  /** the chain cannot be reached and its last answer is not known, or what the URL names is no chain */
  CHAIN_UNAVAILABLE: 10,
  /** a node runs in this home, and its process ID is named; also where its control socket cannot be used, or another batch uses its results file */
  ALREADY_RUNNING: 11,
  /** the peer, or this one, is not registered where registration is required */
  NOT_ADMITTED: 12,
  /** the command needs a running node */
  NOT_RUNNING: 13,
} as const

/** The code of any error of this package. */
export type ErrorCode = keyof typeof EXIT_CODES

/** The exit code of a successful command. */
export const SUCCESS = 0

/** Options of an error besides its message. */
export interface SubnetErrorOptions extends ErrorOptions {
  /** One line with a remedy. */
  hint?: string | undefined
  /** The message for peers, if the original one describes this machine. */
  toPeers?: string | undefined
}

/** The base class of every error that this package throws on purpose. `message` is one line that names the fault and its place. */
export abstract class SubnetError extends Error {
  abstract readonly code: ErrorCode
  readonly hint: string | undefined
  /** Undefined if peers may receive the message itself. */
  readonly toPeers: string | undefined

  constructor(message: string, options: SubnetErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.hint = options.hint
    this.toPeers = options.toPeers
  }
}

/** Wrong flags, arguments, configuration or input files; nothing was sent anywhere. */
export class UsageError extends SubnetError {
  override readonly name = 'UsageError'
  readonly code = 'USAGE'
}

/** A limit on what this process may hold at a time was exceeded. */
export class CapacityError extends SubnetError {
  override readonly name = 'CapacityError'
  readonly code = 'LIMIT_EXCEEDED'
}

/** V8's messages for faults in code. Some libraries copy that text into their own errors. */
const FAULTS = [
  /\bCannot (read|set|define|delete|assign|convert|destructure|access|mix|redefine)\b.*\b(propert|undefined|null|initialization|BigInt|object)/,
  /\bcannot be converted to a BigInt\b/,
  / is not (a function|a constructor|iterable|defined|an object)\b/,
  /\b(Invalid (typed )?array (buffer )?length|Invalid (string|DataView) length|Array buffer allocation failed)\b/,
  /\bMaximum call stack size exceeded\b/,
  /\b(Start offset|Offset|Length) .*outside the bounds\b|^(index|offset) is out of (bounds|range)$/i,
]

/** The text for a fault in code. The fault itself is the error's cause. */
const UNEXPECTED = 'an unexpected fault'

/**
 * The text of any thrown value on one line, without the empty message of an AggregateError. V8's message for a fault in code does not help
 * a user, and is replaced.
 */
export function describeError(error: unknown): string {
  return describe(error, (text) => (FAULTS.some((fault) => fault.test(text)) ? UNEXPECTED : text))
}

/** Like `describeError` but with the full text: for faults in a user's own code, and for bugs. */
export function textOf(error: unknown): string {
  return describe(error, (text) => text)
}

/** The stack of an error on one line, without its message: `at handle (file:///…:5:9) at …`. Empty for another value. */
export function framesOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  return stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .join(' ')
}

function describe(error: unknown, word: (text: string) => string): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map((each) => describe(each, word)))].join('; ')
  }
  // libp2p rejects some waits with an Event
  if (error instanceof Event) {
    return 'error' in error && error.error != null ? describe(error.error, word) : error.type
  }
  const text = error instanceof Error ? error.message || error.name : String(error)
  const line = text.replace(/\s*\n\s*/g, ' ').trim()
  // this package's errors are written by hand, and may quote a user's code
  return error instanceof SubnetError ? line : word(line)
}

/** The usual system errors in words, independent of file and call. */
const REASONS: Record<string, string> = {
  ENOENT: 'no such file or directory',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is not a directory',
  EEXIST: 'a file of this name exists',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would exceed the size limit for files here',
  EROFS: 'the file system is read-only',
  EIO: 'the disk reports an error',
  ELOOP: 'its symbolic links form a loop',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'this process has too many open files (ulimit -n)',
  ENFILE: 'the system has too many open files',
  ENOMEM: 'out of memory',
  EBUSY: 'another program uses it',
  EPIPE: 'the reader closed the pipe',
  ETXTBSY: 'it is a running program',
}

/** Why a file could not be used. Usual errors are given in the system's own words, without call and path. */
export function reasonOf(error: unknown): string {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  return code != null && Object.hasOwn(REASONS, code) ? (REASONS[code] as string) : describeError(error)
}

/** Remedies for failures of the machine, wherever they occur in this program. */
const CURES: Record<string, string> = {
  ENOSPC: 'make room on that disk',
  EDQUOT: 'make room on that disk',
  EFBIG: 'raise the limit of this process (ulimit -f), or use another file system',
  EROFS: 'name a place that can be written',
  EIO: 'check the disk (dmesg)',
  EMFILE: 'raise the limit of this process (ulimit -n)',
  ENFILE: 'end programs that keep files open',
  ENOMEM: 'end programs that use much memory',
  EACCES: 'name a place that this user can read and write',
  EPERM: 'name a place that this user can read and write',
}

/** Describes a failure of the machine; undefined for any other error. */
export function machineFailure(error: unknown): UsageError | undefined {
  const { code, syscall, path } = (error ?? {}) as NodeJS.ErrnoException
  if (code == null || syscall == null || !Object.hasOwn(CURES, code)) {
    return undefined
  }
  const what = path == null ? 'a file' : path
  return new UsageError(`${what} cannot be used (${syscall}): ${reasonOf(error)}`, { cause: error, hint: CURES[code] })
}
