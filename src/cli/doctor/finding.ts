import { type ErrorCode, EXIT_CODES, SUCCESS } from '../../primitives/errors.ts'
import { reportOf } from '../text/report.ts'

/**
 * The result of one `doctor` check. A `problem` makes calls fail; a `warning` does not. `skipped` means not checked; the message says why.
 */
export interface Finding {
  /** The name of the check, such as `home`, `bootstrap` or `tier`. */
  check: string
  /** The subject of a repeated check, such as a multiaddr. */
  subject: string | null
  state: 'ok' | 'warning' | 'problem' | 'skipped'
  message: string
  /** The suggested fix. */
  hint: string | null
  /** The error code; only problems have one. */
  code: ErrorCode | null
}

/** The check and its subject. */
type About = Pick<Finding, 'check'> & Partial<Pick<Finding, 'subject'>>

export function ok(about: About, message: string): Finding {
  return { subject: null, ...about, state: 'ok', message, hint: null, code: null }
}

export function skipped(about: About, message: string): Finding {
  return { ...ok(about, message), state: 'skipped' }
}

export function warning(about: About, message: string, hint: string | null = null): Finding {
  return { ...ok(about, message), state: 'warning', hint }
}

export function problem(
  about: About,
  { code, message, hint }: { code: ErrorCode; message: string; hint?: string | null | undefined },
): Finding {
  return { ...ok(about, message), state: 'problem', hint: hint ?? null, code }
}

/** The finding of a check. An error that the check throws becomes a problem. @throws the reason of `signal` */
export async function examine(about: About, signal: AbortSignal, check: () => Promise<Finding>): Promise<Finding> {
  try {
    return await check()
  } catch (error) {
    signal.throwIfAborted()
    const report = reportOf(error)
    // the output already prints the subject before the message
    return problem(about, about.subject == null ? report : { ...report, message: report.message.replace(`${about.subject}: `, '') })
  }
}

/** The exit code for all findings: the code of the first problem. */
export function exitCodeOf(findings: readonly Finding[]): number {
  const code = findings.find(({ state }) => state === 'problem')?.code
  return code == null ? SUCCESS : EXIT_CODES[code]
}

/**
 * Yields the results in order, each as soon as it is ready. After a failure, the other promises are awaited and their results are dropped.
 */
export async function* inOrder<T>(all: Array<Promise<T>>): AsyncGenerator<T> {
  const ended = Promise.allSettled(all)
  try {
    for (const one of all) {
      yield await one
    }
  } finally {
    await ended
  }
}
