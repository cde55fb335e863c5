import { access, constants } from 'node:fs/promises'
import { NodeError } from '../node/errors.ts'
import { reasonOf } from '../node/home.ts'
import { UsageError } from '../primitives/errors.ts'
import { splitLines } from '../primitives/lines.ts'
import type { LineRunner } from './line-runner.ts'
import { readInput } from './payload.ts'
import { printError } from './report.ts'

export interface ScriptOptions {
  /** Goes on after a line that failed. */
  keepGoing: boolean
  json: boolean
  /** Ends the script, and the line that runs. */
  signal: AbortSignal
}

interface ScriptLine {
  /** From 1 on. */
  number: number
  /** Undefined of one that is too long. */
  text: string | undefined
}

const MAX_LINE_BYTES = 1 << 20
const ENDS = ['exit', 'quit']
/** The line that stops the node itself. */
const STOP = /^\s*(subnet\s+)?stop\b/

/** Finds out before there is a node whether there is a script. @throws UsageError */
export async function checkScript(file: string | undefined): Promise<void> {
  if (file != null && file !== '-') {
    await access(file, constants.R_OK).catch((cause) => {
      throw new UsageError(`the script ${file} cannot be read: ${reasonOf(cause)}`, { cause, hint: 'name a file, or - for stdin' })
    })
  }
}

/**
 * Runs the lines of a file, or of stdin for `-`, one after the other as they are read. Gives the exit code of the first that failed.
 * @throws UsageError for a file that cannot be read, NodeError NOT_RUNNING when somebody else stopped the node
 */
export async function runScript(file: string, runner: LineRunner, { keepGoing, json, signal }: ScriptOptions): Promise<number> {
  const failures: number[] = []
  let last = ''
  for await (const { number, text } of linesOf(file, signal)) {
    const code = text == null ? tooLong(number, json) : await runner.run(text, { signal })
    last = text ?? ''
    if (signal.aborted || !goesOn(code, number)) {
      break
    }
  }
  if (signal.aborted && !STOP.test(last)) {
    throw new NodeError('NOT_RUNNING', 'the node was stopped before the script had come to its end')
  }
  return failures[0] ?? 0

  function goesOn(code: number, number: number): boolean {
    if (code === 0) {
      return true
    }
    failures.push(code)
    if (!json) {
      process.stderr.write(`script: line ${number} failed with ${code}${keepGoing ? '' : '; the lines behind it were not run'}\n`)
    }
    return keepGoing
  }
}

/** Until the file ends, or the script says so, or the signal aborts. */
async function* linesOf(file: string, signal: AbortSignal): AsyncGenerator<ScriptLine> {
  try {
    for await (const { number, bytes } of splitLines(readInput(file, 'script', { signal }), MAX_LINE_BYTES)) {
      const text = bytes == null ? undefined : Buffer.from(bytes).toString()
      if (signal.aborted || ENDS.includes(text?.trim() ?? '')) {
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

function tooLong(number: number, json: boolean): number {
  printError(new UsageError(`line ${number} of the script is longer than ${MAX_LINE_BYTES} bytes`), json)
  return Number(process.exitCode)
}
