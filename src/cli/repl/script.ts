import { access, constants } from 'node:fs/promises'
import { NodeError } from '../../node/home/errors.ts'
import { reasonOf } from '../../node/home/home.ts'
import { SUCCESS, UsageError } from '../../primitives/errors.ts'
import { splitLines } from '../../primitives/lines.ts'
import { toText } from '../../primitives/strict-text.ts'
import { readInput } from '../payload.ts'
import { printError } from '../text/report.ts'
import { exitCodeOf, stopsNode } from './builtins.ts'
import type { LineRunner } from './line-runner.ts'

export interface ScriptOptions {
  /** Continues after a failed line. */
  keepGoing: boolean
  json: boolean
  /** Ends the script and the running line. */
  signal: AbortSignal
}

interface ScriptLine {
  /** The line number, from 1. */
  number: number
  /** The text of the line, or the reason why it cannot run. */
  text: string | UsageError
}

const MAX_LINE_BYTES = 1 << 20

/** Checks the script before a node is started. @throws UsageError for an unreadable script */
export async function checkScript(file: string | undefined): Promise<void> {
  if (file != null && file !== '-') {
    await access(file, constants.R_OK).catch((cause) => {
      throw new UsageError(`the script ${file} cannot be read: ${reasonOf(cause)}`, { cause, hint: 'name a file, or - for stdin' })
    })
  }
}

/**
 * Runs the lines of a file, or of stdin for `-`, one at a time as they are read. Returns the exit code of the first failed line, or the
 * code after `exit`.
 * @throws UsageError for an unreadable file, NodeError NOT_RUNNING if the node was stopped from elsewhere
 */
export async function runScript(file: string, runner: LineRunner, { keepGoing, json, signal }: ScriptOptions): Promise<number> {
  const failures: number[] = []
  let last = ''
  let asked: number = SUCCESS
  for await (const { number, text } of linesOf(file, signal)) {
    const end = endOf(text)
    if (end != null) {
      asked = end
      break
    }
    const code = typeof text === 'string' ? await runner.run(text, { signal }) : refused(text, json)
    last = typeof text === 'string' ? text : ''
    if (signal.aborted || !goesOn(code, number)) {
      break
    }
  }
  if (signal.aborted && !stopsNode(last)) {
    throw new NodeError('NOT_RUNNING', 'the node was stopped before the script ended')
  }
  return asked === SUCCESS ? (failures[0] ?? SUCCESS) : asked

  function goesOn(code: number, number: number): boolean {
    if (code === SUCCESS) {
      return true
    }
    failures.push(code)
    if (!json) {
      process.stderr.write(`script: line ${number} failed with ${code}${keepGoing ? '' : '; the lines after it were not run'}\n`)
    }
    return keepGoing
  }
}

/** The exit code of a line that ends the script. */
function endOf(text: ScriptLine['text']): number | undefined {
  return typeof text === 'string' ? exitCodeOf(text) : undefined
}

/** Yields lines until the file ends or the signal aborts. */
async function* linesOf(file: string, signal: AbortSignal): AsyncGenerator<ScriptLine> {
  try {
    for await (const { number, bytes } of splitLines(readInput(file, 'script', { signal }), MAX_LINE_BYTES)) {
      const text = readLine(number, bytes)
      if (signal.aborted) {
        return
      }
      yield { number, text }
    }
  } catch (error) {
    if (!signal.aborted) {
      throw error
    }
  }
}

function readLine(number: number, bytes: Uint8Array | undefined): ScriptLine['text'] {
  if (bytes == null) {
    return new UsageError(`line ${number} of the script is longer than ${MAX_LINE_BYTES} bytes`)
  }
  try {
    return toText(bytes, 'the script', number)
  } catch (error) {
    return error as UsageError
  }
}

function refused(error: UsageError, json: boolean): number {
  printError(error, json)
  return Number(process.exitCode)
}
