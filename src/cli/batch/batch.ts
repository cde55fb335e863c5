import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { EXIT_CODES, SUCCESS, UsageError } from '../../primitives/errors.ts'
import { durationText } from '../../primitives/human-ms.ts'
import { type Line, splitLines } from '../../primitives/lines.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { TaskAnswer } from '../../session/answers.ts'
import type { Session } from '../../session/session.ts'
import { readInput } from '../payload.ts'
import { jsonText } from '../text/json.ts'
import { type Progress, type ProgressState, rate, showProgress } from '../text/progress.ts'
import { wrapped } from '../text/render.ts'
import { type ErrorReport, Interrupted, reportOf } from '../text/report.ts'
import { isBlank, type LineFields, readLine, toBatchLine } from './batch-line.ts'
import { type BatchCounts, type BatchFailure, ResultsFile } from './results-file.ts'
import { toTaskJson } from './task-json.ts'

export interface BatchOptions {
  /** Called only after the results file was opened. */
  session(): Promise<Session>
  /** Maximum concurrent tasks. */
  concurrency: number
  /** The peer of lines without one. */
  defaultPeer: string | undefined
  /** Translates the peer of a line to a form that the session accepts. @throws UsageError */
  peerNamed(peer: string): Promise<string>
  /** Maximum size of a payload, and of a result. */
  maxPayloadBytes: number
  /** The signal ends the batch; the time limit applies to each task. */
  options: { signal: AbortSignal; timeoutMs: number }
  /** The results file of an interrupted batch. Answered lines are skipped. New results go to this file instead of `write`. */
  resume?: string | undefined
  /** Writes one line, with its line feed. Resolves when the output accepts more. */
  write(line: string): Promise<void>
}

export interface BatchInit extends Omit<BatchOptions, 'session' | 'resume'> {
  session: Session
  /** True for a line to skip. @default every line is sent */
  leavesOut?: (index: number) => boolean
  /** The batch. Ends when the signal aborts. Read only as fast as tasks start. */
  input: AsyncIterable<Uint8Array>
  /** The name of the input in messages. */
  name: string
  /** The size of the input in bytes, if known. */
  size: number | undefined
  /** Shows the progress of the batch. */
  progress: ((state: () => ProgressState) => Progress | undefined) | undefined
}

/** The outcome of a batch. `total` is the sum of the counts. */
export interface BatchSummary extends BatchCounts {
  total: number
  /** Tasks that were running when the batch was ended. Their peers may have acted on them. */
  cancelled: number
  /** The first task in the input that was not accepted. */
  firstFailure: BatchFailure | undefined
  /** Why the input was not read to its end: the signal's reason, or a read or write error. */
  stopped: { reason: unknown } | undefined
  ms: number
}

/** Maximum number of remembered peer names. */
const MAX_NAMED = 1_024
/** The room on a line beside a payload in base64. */
const LINE_OVERHEAD_BYTES = 64 * 1024
/** Maximum total size of the lines in flight. A single line may be longer. */
const MAX_LINE_BYTES_IN_FLIGHT = 64 * 1024 * 1024

/**
 * Runs `send-task --batch` on a file, or on stdin for `-`. Prints results with `write`, and progress and summary on stderr. Returns the
 * exit code.
 * @throws read and write errors, and the signal's reason, after all started tasks have ended
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
  const run = async (): Promise<BatchSummary> =>
    runBatch({
      ...options,
      ...(results == null ? {} : { write: async (line) => results.write(line), leavesOut: (index) => results.holds(index) }),
      session: await options.session(),
      input: readInput(file, 'batch', { signal }),
      name: file === '-' ? 'stdin' : file,
      size: there?.isFile() === true ? there.size : undefined,
      progress: showProgress,
    })
  const summary = await run().finally(async () => results?.close())
  const isInterrupted = summary.stopped?.reason instanceof Interrupted
  if (summary.total > 0 || summary.stopped == null || isInterrupted) {
    tell(describeSummary(summary, before?.counts))
  }
  if (isInterrupted && resume != null) {
    tell(`run the same command again to continue${summary.cancelled === 0 ? '' : '; it sends the cancelled tasks again'}`)
  }
  if (summary.stopped != null) {
    throw summary.stopped.reason
  }
  const failures = [summary.firstFailure, before?.firstFailure].filter((each) => each != null).sort((a, b) => a.index - b.index)
  const [first] = failures
  if (first != null) {
    tell(`exit code ${first.exit}: index ${first.index} is the first task that was not accepted`)
  }
  if (results == null && process.stdout.isTTY === true && summary.total > 1) {
    tell(`hint: ${file === '-' ? '"> RESULTS"' : '--resume RESULTS'} writes the results to a file instead of the terminal`)
  }
  return first?.exit ?? SUCCESS
}

function tell(line: string): void {
  process.stderr.write(`${wrapped(line, process.stderr.columns)}\n`)
}

/**
 * `10000 tasks: 9990 accepted, 4 rejected, 6 failed (18 of them before) in 12.3 s (813/s)`
 * @param before the results of earlier runs
 */
export function describeSummary({ cancelled, stopped, ms, ...now }: BatchSummary, before?: BatchCounts): string {
  const [accepted, rejected, failed] = (['accepted', 'rejected', 'failed'] as const).map(
    (outcome) => now[outcome] + (before?.[outcome] ?? 0),
  )
  const earlier = before == null ? 0 : before.accepted + before.rejected + before.failed
  const total = now.total + earlier
  const rest = stopped == null ? '' : '; the rest of the batch was not sent'
  if (total === 0) {
    return `0 tasks${rest}`
  }
  const sum = `${total} task${total === 1 ? '' : 's'}: ${accepted} accepted, ${rejected} rejected, ${failed} failed`
  const [aborted, acted] = cancelled === 0 ? ['', ''] : [`, ${cancelled} cancelled`, '; the peers may have acted on the cancelled tasks']
  const took = now.total === 0 ? '' : ` in ${durationText(ms)} (${rate(now.total - cancelled, ms)})`
  return `${sum}${aborted}${earlier === 0 ? '' : ` (${earlier} of them before)`}${took}${acted}${rest}`
}

/** Sends the task of every line, and writes a result line as each task ends. Never throws: see `stopped` in the summary. */
export async function runBatch(init: BatchInit): Promise<BatchSummary> {
  return new Batch(init).run()
}

/** Maximum line length of a batch and its results, in bytes. */
function maxLineBytesOf(maxPayloadBytes: number): number {
  return Math.ceil((maxPayloadBytes * 4) / 3) + LINE_OVERHEAD_BYTES
}

class Batch {
  readonly #init: BatchInit
  readonly #maxLineBytes: number
  readonly #startedAtMs = performance.now()
  readonly #counts = { total: 0, accepted: 0, rejected: 0, failed: 0, cancelled: 0 }
  readonly #named = new LRUCache<string, Promise<string>>({ max: MAX_NAMED })
  /** Number of non-blank lines read so far. */
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

  /** Waits for a condition. Only one caller waits at a time: the loop, and then its end. */
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

  /** @throws write errors */
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

  /** @param known receives the peer and the task ID before anything can fail */
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

  /** Looks up each peer name only once, so a notice about a short form is printed once. */
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

  /** The report of an error. For an invalid line, the message includes the line number. */
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
      rejected,
      failed,
      inFlight: this.#running,
      elapsedMs: this.#elapsedMs,
      // a file may grow while it is read
      share: size == null || size === 0 || total === 0 ? undefined : Math.min(1, this.#bytesRead / size) * (done / total),
    }
  }
}
