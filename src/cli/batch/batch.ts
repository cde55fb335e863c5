import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { EXIT_CODES, SUCCESS, UsageError } from '../../primitives/errors.ts'
import { type Line, splitLines } from '../../primitives/lines.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { TaskAnswer } from '../../session/answers.ts'
import type { Session } from '../../session/session.ts'
import { readInput } from '../payload.ts'
import { jsonText } from '../text/json.ts'
import { type Progress, type ProgressState, rate, showProgress } from '../text/progress.ts'
import { type ErrorReport, reportOf } from '../text/report.ts'
import { isBlank, type LineFields, readLine, toBatchLine } from './batch-line.ts'
import { ResultsFile } from './results-file.ts'
import { toTaskJson } from './task-json.ts'

export interface BatchOptions {
  session: Session
  /** Tasks at a time, at most. */
  concurrency: number
  /** Of the lines that name none. */
  defaultPeer: string | undefined
  /** The peer that a line names, in words that the session takes. @throws UsageError */
  peerNamed(peer: string): Promise<string>
  /** The largest payload, and the largest result. */
  maxPayloadBytes: number
  /** The signal ends the batch; the time is that of each task. */
  options: { signal: AbortSignal; timeoutMs: number }
  /** A file that has the results of lines that are not sent again, and gets the new ones in place of `write`. */
  resume?: string | undefined
  /** Takes one line, with its line feed; resolves when there is room for more. */
  write(line: string): Promise<void>
}

export interface BatchInit extends Omit<BatchOptions, 'resume'> {
  /** Whether the task of this line is not sent. @default none is left out */
  leavesOut?: (index: number) => boolean
  /** Ends when the signal aborts. Read only as fast as tasks are started. */
  input: AsyncIterable<Uint8Array>
  /** What the input is called in messages. */
  name: string
  /** How many bytes the input has, where that is known. */
  size: number | undefined
  /** Shows how far the batch is. */
  progress: ((state: () => ProgressState) => Progress | undefined) | undefined
}

/** What became of a batch. `total` is the sum of the next four. */
export interface BatchSummary {
  total: number
  accepted: number
  rejected: number
  failed: number
  /** Had been started when the batch was ended; whether their peers acted is not known. */
  cancelled: number
  /** Of the tasks that were not accepted, the first in the input. */
  firstFailure: { index: number; exit: number } | undefined
  /** Why the input was not read to its end: the signal's reason, or what reading or writing threw. */
  stopped: { reason: unknown } | undefined
  ms: number
}

/** Peers that lines name, remembered. */
const MAX_NAMED = 1_024
/** A payload in base64, and what stands around it on its line. */
const LINE_OVERHEAD_BYTES = 64 * 1024
/** Of the lines in flight, all together; one line alone may be longer. */
const MAX_LINE_BYTES_IN_FLIGHT = 64 * 1024 * 1024

/**
 * `send-task --batch`: a file, or stdin for `-`. Prints the results with `write`, progress and summary on stderr; gives the exit code.
 * @throws what reading or writing threw, or the signal's reason, once the tasks that had been started have ended
 */
export async function sendBatch(file: string, options: BatchOptions): Promise<number> {
  const { signal } = options.options
  const there = file === '-' ? undefined : await stat(file).catch(() => undefined)
  const { defaultPeer, maxPayloadBytes, resume } = options
  const results =
    resume == null
      ? undefined
      : await ResultsFile.open(resume, { batch: file, defaultPeer, maxLineBytes: maxLineBytesOf(maxPayloadBytes), signal })
  const before = results?.before
  const summary = await runBatch({
    ...options,
    ...(results == null ? {} : { write: async (line) => results.write(line), leavesOut: (index) => results.holds(index) }),
    input: readInput(file, 'batch', { signal }),
    name: file === '-' ? 'stdin' : file,
    size: there?.isFile() === true ? there.size : undefined,
    progress: showProgress,
  })
  await results?.close()
  if (summary.total > 0 || summary.stopped == null) {
    process.stderr.write(`${describeSummary(summary)}${before == null ? '' : `; ${before.count} before`}\n`)
  }
  if (summary.stopped != null) {
    throw summary.stopped.reason
  }
  const failures = [summary.firstFailure, before?.firstFailure].filter((each) => each != null).sort((a, b) => a.index - b.index)
  return failures[0]?.exit ?? SUCCESS
}

/** `10000 tasks: 9990 accepted, 4 rejected, 6 failed in 12.3 s (813/s)` */
export function describeSummary({ total, accepted, rejected, failed, cancelled, stopped, ms }: BatchSummary): string {
  const unread = stopped == null ? '' : '; the rest of the batch was not sent'
  if (total === 0) {
    return `0 tasks${unread}`
  }
  const counts = [`${accepted} accepted`, `${rejected} rejected`, `${failed} failed`, ...(cancelled > 0 ? [`${cancelled} cancelled`] : [])]
  const took = `in ${(ms / 1_000).toFixed(1)} s (${rate(total - cancelled, ms)})`
  return `${total} task${total === 1 ? '' : 's'}: ${counts.join(', ')} ${took}${unread}`
}

/** Sends the task of every line, and writes one line for each as it ends. Never throws: see `stopped` of the summary. */
export async function runBatch(init: BatchInit): Promise<BatchSummary> {
  return new Batch(init).run()
}

/** The longest line that a batch may have, and its results. */
function maxLineBytesOf(maxPayloadBytes: number): number {
  return Math.ceil((maxPayloadBytes * 4) / 3) + LINE_OVERHEAD_BYTES
}

class Batch {
  readonly #init: BatchInit
  readonly #maxLineBytes: number
  readonly #startedAtMs = performance.now()
  readonly #counts = { total: 0, accepted: 0, rejected: 0, failed: 0, cancelled: 0 }
  readonly #named = new LRUCache<string, Promise<string>>({ max: MAX_NAMED })
  /** Lines of the input so far that are not blank. */
  #lines = 0
  #firstFailure: BatchSummary['firstFailure']
  #stopped: BatchSummary['stopped']
  #running = 0
  #bytesInFlight = 0
  #bytesRead = 0
  #freed = Promise.withResolvers<void>()

  constructor(init: BatchInit) {
    this.#init = init
    this.#maxLineBytes = maxLineBytesOf(init.maxPayloadBytes)
  }

  async run(): Promise<BatchSummary> {
    const progress = this.#init.progress?.(() => this.#state())
    try {
      await this.#startAll()
    } catch (reason) {
      this.#stopped ??= { reason }
    }
    await this.#until(() => this.#running === 0)
    progress?.stop()
    return { ...this.#counts, firstFailure: this.#firstFailure, stopped: this.#stopped, ms: this.#elapsedMs }
  }

  async #startAll(): Promise<void> {
    const { input, concurrency, options, leavesOut } = this.#init
    for await (const line of splitLines(input, this.#maxLineBytes)) {
      if (isBlank(line)) {
        continue
      }
      const index = this.#lines++
      if (leavesOut?.(index) === true) {
        options.signal.throwIfAborted()
        continue
      }
      const bytes = line.bytes?.byteLength ?? 0
      await this.#until(
        () => this.#running < concurrency && (this.#running === 0 || this.#bytesInFlight + bytes <= MAX_LINE_BYTES_IN_FLIGHT),
      )
      options.signal.throwIfAborted()
      if (this.#stopped != null) {
        return
      }
      this.#bytesRead = line.end
      void this.#start(line, { index, bytes })
    }
  }

  /** Only one waits at a time: the loop, and then its end. */
  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      this.#freed = Promise.withResolvers()
      await this.#freed.promise
    }
  }

  async #start(line: Line, { index, bytes }: { index: number; bytes: number }): Promise<void> {
    this.#counts.total++
    this.#running++
    this.#bytesInFlight += bytes
    try {
      await this.#runLine(line, index)
    } catch (reason) {
      this.#stopped ??= { reason }
    }
    this.#bytesInFlight -= bytes
    this.#running--
    this.#freed.resolve()
  }

  /** @throws what writing throws */
  async #runLine(line: Line, index: number): Promise<void> {
    const { signal } = this.#init.options
    const known: { peer: string | null; taskId: string | null } = { peer: null, taskId: null }
    let result: object
    try {
      const answer = await this.#sendTask(readLine(line, this.#maxLineBytes), known)
      result = await toTaskJson(answer, undefined, this.#bounded(answer.result))
      this.#count(answer.accepted ? 'accepted' : 'rejected', index, EXIT_CODES.TASK_REJECTED)
    } catch (error) {
      if (signal.aborted) {
        this.#counts.cancelled++
        return
      }
      const report = this.#reportOf(error, line)
      this.#count('failed', index, report.exit)
      result = { ...known, accepted: false, error: report }
    }
    await this.#init.write(`${jsonText({ index, ...result })}\n`)
  }

  /** @param known gets what is known of the task before anything can fail */
  async #sendTask(fields: LineFields, known: { peer: string | null; taskId: string | null }): Promise<TaskAnswer> {
    const { session, defaultPeer, options } = this.#init
    known.peer = typeof fields['peer'] === 'string' ? fields['peer'] : (defaultPeer ?? null)
    known.taskId = typeof fields['taskId'] === 'string' ? fields['taskId'] : null
    const { payload, size } = toBatchLine(fields)
    if (known.peer == null) {
      throw new UsageError('no peer', { hint: 'each line names its "peer", or the command names one for all: send-task PEER --batch FILE' })
    }
    known.taskId ??= randomUUID()
    const peer = fields['peer'] == null ? known.peer : await this.#peerNamed(known.peer)
    return session.sendTask(peer, { taskId: known.taskId, payload: payload(options.signal), size: await size() }, options)
  }

  /** A short form is looked up, and told of, once. */
  async #peerNamed(text: string): Promise<string> {
    const known = this.#named.get(text)
    const named = known ?? this.#init.peerNamed(text)
    if (known == null) {
      this.#named.set(text, named)
    }
    return named
  }

  async *#bounded(result: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { maxPayloadBytes } = this.#init
    let bytes = 0
    for await (const chunk of result) {
      bytes += chunk.byteLength
      if (bytes > maxPayloadBytes) {
        throw new ProtocolError('LIMIT_EXCEEDED', `the result is larger than ${maxPayloadBytes} bytes; the peer has acted on the request`, {
          hint: '--max-frame-bytes raises the limit',
        })
      }
      yield chunk
    }
  }

  #count(outcome: 'accepted' | 'rejected' | 'failed', index: number, exit: number): void {
    this.#counts[outcome]++
    if (outcome !== 'accepted' && index <= (this.#firstFailure?.index ?? index)) {
      this.#firstFailure = { index, exit }
    }
  }

  /** Of what is wrong with the line itself, it says where that is. */
  #reportOf(error: unknown, { number }: Line): ErrorReport {
    const report = reportOf(error)
    return report.code === 'USAGE' ? { ...report, message: `line ${number} of ${this.#init.name}: ${report.message}` } : report
  }

  get #elapsedMs(): number {
    return performance.now() - this.#startedAtMs
  }

  #state(): ProgressState {
    const { size } = this.#init
    const { total, rejected, failed } = this.#counts
    const done = total - this.#running
    return {
      done,
      failed: rejected + failed,
      inFlight: this.#running,
      elapsedMs: this.#elapsedMs,
      // a file may grow while it is read
      share: size == null || size === 0 || total === 0 ? undefined : Math.min(1, this.#bytesRead / size) * (done / total),
    }
  }
}
