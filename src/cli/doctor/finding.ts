import { type ErrorCode, EXIT_CODES, SUCCESS } from '../../primitives/errors.ts'
import { reportOf } from '../text/report.ts'

/** What `doctor` found out about one thing. A `problem` makes calls fail; a `warning` does not; `skipped` was not looked at, and the message says why. */
export interface Finding {
  /** What was looked at, as `home`, `bootstrap` or `tier`. */
  check: string
  /** Which one, where there are several, as a multiaddr. */
  subject: string | null
  state: 'ok' | 'warning' | 'problem' | 'skipped'
  message: string
  /** What to do about it. */
  hint: string | null
  /** Of a problem. */
  code: ErrorCode | null
}

/** What is looked at. */
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

/** What a check gives; where it throws, its error as a problem. @throws the reason of `signal` */
export async function examine(about: About, signal: AbortSignal, check: () => Promise<Finding>): Promise<Finding> {
  try {
    return await check()
  } catch (error) {
    signal.throwIfAborted()
    const report = reportOf(error)
    // what the error is about stands before it
    return problem(about, about.subject == null ? report : { ...report, message: report.message.replace(`${about.subject}: `, '') })
  }
}

/** The exit code of all of them: that of the first problem. */
export function exitCodeOf(findings: readonly Finding[]): number {
  const code = findings.find(({ state }) => state === 'problem')?.code
  return code == null ? SUCCESS : EXIT_CODES[code]
}

/** What each of them gives, in their order, as soon as it is there. Where one fails, the others are waited for, and nobody else is told of theirs. */
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
