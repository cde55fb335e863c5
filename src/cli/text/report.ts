import { chalkStderr } from 'chalk'
import { reasonOf } from '../../node/home/home.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { describeError, type ErrorCode, EXIT_CODES, machineFailure, SubnetError, textOf, UsageError } from '../../primitives/errors.ts'
import { printable } from '../../primitives/printable.ts'
import type { ChainMiss } from '../../session/answers.ts'
import { ChainLookupError } from '../../session/chain-lookup-error.ts'
import { jsonText } from './json.ts'
import { wrapped } from './render.ts'

/** An error as printed for scripts. For a peer without an address on the chain, it includes the chain's other information. */
export interface ErrorReport extends Partial<ChainMiss> {
  code: ErrorCode
  exit: number
  message: string
  hint?: string
  attempts?: unknown[]
}

/** Ends the process by the signal that ended the command. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
    this.signal = signal
  }
}

/** The user answered No. The command fails like a usage error, but the answer is not shown as an error. */
export class Declined extends UsageError {}

export function reportOf(error: unknown): ErrorReport {
  if (error instanceof SubnetError) {
    const attempts = 'attempts' in error ? { attempts: error.attempts as unknown[] } : {}
    const details = error instanceof ChainLookupError ? error.details : {}
    return report(error.code, describeError(error), error.hint, { ...attempts, ...details })
  }
  if (isDeadline(error)) {
    return report('TIMEOUT', 'the command did not end in time', '--timeout DUR allows more time')
  }
  const failure = machineFailure(error)
  if (failure != null) {
    return report(failure.code, failure.message, failure.hint)
  }
  return report('INTERNAL', `this is a bug: ${textOf(error)}`, 'run the command again with --log-level debug for the stack')
}

/** Prints an error the way the caller reads it, and sets the exit code. @param reword changes the message for people */
export function printError(error: unknown, json: boolean, stack = false, reword = (message: string): string => message): void {
  if (error instanceof Interrupted) {
    return
  }
  const found = reportOf(error)
  process.exitCode = found.exit
  if (json) {
    process.stdout.write(`${jsonText({ error: found })}\n`)
  } else {
    const { columns } = process.stderr
    const mark = error instanceof Declined ? '' : `${chalkStderr.red('error:')} `
    process.stderr.write(`${wrapped(`${mark}${printable(reword(found.message))}`, columns)}\n`)
    if (found.hint != null) {
      process.stderr.write(`${wrapped(`${chalkStderr.dim('hint:')} ${printable(found.hint)}`, columns)}\n`)
    }
  }
  if (stack && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`)
  }
}

function report(
  code: ErrorCode,
  message: string,
  hint?: string,
  rest: Pick<ErrorReport, 'attempts'> & Partial<ChainMiss> = {},
): ErrorReport {
  return { code, exit: EXIT_CODES[code], message, ...(hint == null ? {} : { hint }), ...rest }
}

/** The error for a failed write to stdout: the answer did not arrive. */
export function stdoutError(cause: unknown): UsageError {
  return new UsageError(`stdout cannot be written: ${reasonOf(cause)}`, { cause })
}
