import { randomUUID } from 'node:crypto'
import { basename } from 'node:path'
import { EXIT_CODES } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import type { TaskAnswer } from '../session/answers.ts'
import type { Session } from '../session/session.ts'
import { type TaskJson, toTaskJson } from './batch/task-json.ts'
import { openOutput } from './output-file.ts'
import { payloadOf, payloadSizeOf } from './payload.ts'
import { showResult } from './shown-result.ts'
import { humanBytes } from './text/bytes.ts'
import { Transfer } from './text/transfer.ts'

/** The flags for one task. */
export interface OneTaskFlags {
  payload: string | undefined
  text: string | undefined
  'task-id': string | undefined
  /** @default stdout */
  output: string | undefined
}

export interface SendOneInit {
  peer(): Promise<string>
  session(): Promise<Session>
  options: { signal: AbortSignal; timeoutMs: number }
  /** True if the answer is printed as JSON. */
  json: boolean
  /** Folders for a result that is not text. The first writable one is used. */
  folders: readonly string[]
  /** Prints a line for the user. */
  notice(text: string): void
  /** Writes to stdout. */
  write(bytes: Uint8Array | string): Promise<void>
}

/** Sends one task. Returns the JSON to print; undefined if the result was printed or kept. @throws ProtocolError; UsageError */
export async function sendOne(flags: OneTaskFlags, init: SendOneInit): Promise<TaskJson | undefined> {
  const { options, json } = init
  const over = new AbortController()
  const payload = payloadOf(flags, { signal: AbortSignal.any([options.signal, over.signal]) })
  const peer = await init.peer()
  const output = flags.output == null || flags.output === '-' ? undefined : await openOutput(flags.output, options)
  let transfer: Transfer | undefined
  try {
    const size = await payloadSizeOf(flags)
    const session = await init.session()
    transfer = new Transfer()
    const task = { taskId: flags['task-id'] ?? randomUUID(), payload: transfer.sending(payload, size), size }
    const answer = await session.sendTask(peer, task, options)
    const result = transfer.receiving(answer.result, answer.bytesReceived)
    if (!answer.accepted) {
      process.exitCode = EXIT_CODES.TASK_REJECTED
      if (!json) {
        throw new ProtocolError('TASK_REJECTED', `the peer rejected the task: ${answer.error?.message ?? ''}`)
      }
    } else if (output != null) {
      await output.finish(result)
    } else if (!json) {
      transfer.tell(await print(answer, result, { ...init, transfer }))
      return undefined
    }
    const told = await toTaskJson(answer, answer.accepted ? flags.output : undefined, result)
    transfer.tell(answer.accepted && output != null ? flags.output : undefined)
    return told
  } finally {
    transfer?.stop()
    // ends the reading of a payload that may never end
    over.abort()
    await output?.discard()
  }
}

/**
 * Writes a result unchanged. A terminal shows only text, without control characters; any other result is kept in a file. Returns the name
 * of that file.
 * @throws UsageError if the file cannot be written
 */
async function print(
  { taskId, bytesReceived: size }: TaskAnswer,
  result: AsyncIterable<Uint8Array>,
  { transfer, write, folders, notice }: SendOneInit & { transfer: Transfer },
): Promise<string | undefined> {
  if (process.stdout.isTTY !== true) {
    for await (const bytes of result) {
      await write(bytes)
    }
    return undefined
  }
  const kept = await showResult(result, {
    size,
    taskId,
    folders,
    write: async (text) => {
      // the progress would be drawn over the last line of the text
      transfer.stop()
      await write(text)
    },
  })
  if (kept == null) {
    return undefined
  }
  transfer.stop()
  const what = kept.from === 0 ? 'the result is not text' : `the result is text only up to byte ${kept.from}, as shown`
  notice(`${what}: ${kept.from === 0 ? '' : 'the rest is '}kept in ${kept.file} (${humanBytes(kept.bytes)})`)
  return basename(kept.file)
}
