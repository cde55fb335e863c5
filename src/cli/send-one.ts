import { randomUUID } from 'node:crypto'
import { EXIT_CODES } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import type { TaskAnswer } from '../session/answers.ts'
import type { Session } from '../session/session.ts'
import { type TaskJson, toTaskJson } from './batch/task-json.ts'
import { type OutputFile, openOutput } from './output-file.ts'
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
  /** Sets the text that is printed if Ctrl-C or a signal ends the command. */
  onCancel(text: () => string): void
  /** Writes to stdout. */
  write(bytes: Uint8Array | string): Promise<void>
}

/** Sends one task. Returns the JSON to print; undefined if the result was printed or kept. @throws ProtocolError; UsageError */
export async function sendOne(flags: OneTaskFlags, init: SendOneInit): Promise<TaskJson | undefined> {
  const { options } = init
  const over = new AbortController()
  const payload = payloadOf(flags, { signal: AbortSignal.any([options.signal, over.signal]) })
  const taskId = flags['task-id'] ?? randomUUID()
  init.onCancel(() => 'cancelled: the task was not sent')
  const peer = await init.peer()
  const output = flags.output == null || flags.output === '-' ? undefined : await openOutput(flags.output, options)
  try {
    const size = await payloadSizeOf(flags)
    const session = await init.session()
    using transfer = new Transfer()
    init.onCancel(() => `cancelled after ${transfer.howFar}: the peer may have acted on the task ${taskId}`)
    const answer = await session.sendTask(peer, { taskId, payload: transfer.sending(payload, size), size }, options)
    return await deliver(answer, { ...init, flags, output: answer.accepted ? output : undefined, transfer })
  } finally {
    // ends the reading of a payload that may never end
    over.abort()
    await output?.discard()
  }
}

/** @param init `output` is the file for the result, if there is one */
async function deliver(
  answer: TaskAnswer,
  init: SendOneInit & { flags: OneTaskFlags; output: OutputFile | undefined; transfer: Transfer },
): Promise<TaskJson | undefined> {
  const { flags, output, transfer, json, notice } = init
  const result = transfer.receiving(answer.result, answer.bytesReceived)
  if (!answer.accepted) {
    process.exitCode = EXIT_CODES.TASK_REJECTED
    if (!json) {
      throw new ProtocolError('TASK_REJECTED', `the peer rejected the task: ${answer.error?.message ?? ''}`, {
        hint: `the peer's log and events name this task by its ID, ${answer.taskId}`,
      })
    }
  }
  await (output != null ? output.finish(result) : json ? undefined : print(answer, result, init))
  const told = output == null && !json ? undefined : await toTaskJson(answer, answer.accepted ? flags.output : undefined, result)
  transfer.tell(output == null ? undefined : flags.output)
  if (!json && transfer.state.received === 0 && process.stderr.isTTY === true) {
    notice('the result is empty')
  }
  return told
}

/**
 * Writes a result unchanged. A terminal shows only text, without control characters; any other result is kept in a file.
 * @throws UsageError if the file cannot be written
 */
async function print(
  { taskId, bytesReceived: size }: TaskAnswer,
  result: AsyncIterable<Uint8Array>,
  { transfer, write, folders, notice }: SendOneInit & { transfer: Transfer },
): Promise<void> {
  if (process.stdout.isTTY !== true) {
    for await (const bytes of result) {
      await write(bytes)
    }
    return
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
    return
  }
  transfer.stop()
  const what = kept.from === 0 ? 'the result is not text' : `the result is text only up to byte ${kept.from}, as shown`
  notice(`${what}: ${kept.from === 0 ? '' : 'the rest is '}kept in ${kept.file} (${humanBytes(kept.bytes)})`)
}
