import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import { NodeError } from '../../node/home/errors.ts'
import { DatabaseError } from '../../primitives/database-error.ts'
import { EXIT_CODES, reasonOf, UsageError } from '../../primitives/errors.ts'
import { type Line, splitLines } from '../../primitives/lines.ts'
import { readInput } from '../payload.ts'
import { type BatchLine, isBlank, readLine, toBatchLine } from './batch-line.ts'
import { differenceOf, readToldLine, type ToldLine } from './told-lines.ts'

export interface ResultsFileInit {
  /** The batch, which is read twice. */
  batch: string
  /** The peer of lines without one. */
  defaultPeer: string | undefined
  /** Limit for a line of the batch and of the results. */
  maxLineBytes: number
  signal: AbortSignal
}

/** Tasks by their outcome. */
export interface BatchCounts {
  accepted: number
  rejected: number
  failed: number
}

/** A task that was not accepted, and its exit code. */
export interface BatchFailure {
  index: number
  exit: number
}

/** The content of a results file, and the length of its complete lines. */
interface ReadResults {
  told: Map<number, ToldLine>
  wholeBytes: number
  /** True if the last complete line has no line feed. */
  lacksLineFeed: boolean
}

/**
 * A results file that outlives its batch. Lines with an answer are skipped, and new results are appended. An incomplete last line is
 * removed; the rest of the file never changes. One process at a time has the file open.
 */
export class ResultsFile {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #told: Map<number, ToldLine>
  readonly #opened: AsyncDisposableStack
  #written: Promise<void> = Promise.resolve()

  private constructor(path: string, handle: FileHandle, told: Map<number, ToldLine>, opened: AsyncDisposableStack) {
    this.#path = path
    this.#handle = handle
    this.#told = told
    this.#opened = opened
  }

  /**
   * Opens the file, or creates it.
   * @throws UsageError for a file of another batch, which stays unchanged; NodeError ALREADY_RUNNING; DatabaseError if the file cannot be
   * locked; the signal's reason
   */
  static async open(path: string, init: ResultsFileInit): Promise<ResultsFile> {
    const there = await stat(path).catch(() => undefined)
    await checkFiles(path, there?.isFile() ?? true, init.batch)
    await using opened = new AsyncDisposableStack()
    const handle = opened.use(await open(path, 'a').catch((cause) => Promise.reject(cannotWrite(path, cause))))
    opened.use(await lockResults(path))
    const { size } = await handle.stat()
    const { told, wholeBytes, lacksLineFeed } = await readResults(path, size, init)
    await checkBelongs(path, told, init)
    try {
      await (size === wholeBytes ? undefined : handle.truncate(wholeBytes))
      await (lacksLineFeed ? handle.appendFile('\n') : undefined)
    } catch (cause) {
      throw cannotWrite(path, cause)
    }
    return new ResultsFile(path, handle, told, opened.move())
  }

  /** True if the line's task was answered, or its peer may have acted on it. */
  holds(index: number): boolean {
    return this.#told.get(index)?.isDone === true
  }

  /** The outcomes of the skipped lines, and the first failure among them. */
  get before(): { counts: BatchCounts; firstFailure: BatchFailure | undefined } {
    const counts = { accepted: 0, rejected: 0, failed: 0 }
    let firstFailure: BatchFailure | undefined
    for (const { index, exit, isDone } of this.#told.values()) {
      if (!isDone) {
        continue
      }
      counts[exit == null ? 'accepted' : exit === EXIT_CODES.TASK_REJECTED ? 'rejected' : 'failed']++
      if (exit != null && index < (firstFailure?.index ?? Number.POSITIVE_INFINITY)) {
        firstFailure = { index, exit }
      }
    }
    return { counts, firstFailure }
  }

  /** Appends a line. Lines are written in order, so only the last can be incomplete. @throws UsageError */
  async write(line: string): Promise<void> {
    const writing = this.#written.then(async () => this.#handle.appendFile(line))
    this.#written = writing
    await writing.catch((cause) => Promise.reject(cannotWrite(this.#path, cause)))
  }

  async close(): Promise<void> {
    await this.#written.catch(() => undefined)
    // not every file system supports it
    await this.#handle.sync().catch(() => undefined)
    await this.#opened.disposeAsync()
  }
}

/** @throws NodeError ALREADY_RUNNING if another process has the lock, DatabaseError */
async function lockResults(path: string): Promise<Disposable> {
  // other tasks do without SQLite
  const { lockFile } = await import('../../primitives/file-lock.ts')
  try {
    return lockFile(await realpath(path))
  } catch (cause) {
    throw cause instanceof DatabaseError && cause.code === 'TIMEOUT'
      ? new NodeError('ALREADY_RUNNING', `another batch writes its results to ${path}`, {
          cause,
          hint: `nothing was sent; run the command again when that batch has ended; "fuser ${path}" names its process`,
        })
      : cause
  }
}

async function checkFiles(path: string, isFile: boolean, batch: string): Promise<void> {
  if (!isFile || path === '-') {
    throw new UsageError(`--resume: ${path} is not a file`)
  }
  // a missing batch is reported when it is read
  const isPipe = batch === '-' || (await stat(batch).catch(() => undefined))?.isFile() === false
  if (isPipe) {
    throw new UsageError('--resume needs a batch that can be read twice', { hint: 'write the batch to a file, and name this file' })
  }
}

async function readResults(path: string, size: number, { maxLineBytes, signal }: ResultsFileInit): Promise<ReadResults> {
  const told = new Map<number, ToldLine>()
  let wholeBytes = 0
  let lacksLineFeed = false
  if (size === 0) {
    return { told, wholeBytes, lacksLineFeed }
  }
  for await (const line of splitLines(readInput(path, 'results', { signal }), maxLineBytes)) {
    lacksLineFeed = line.bytes != null && line.end === wholeBytes + line.bytes.byteLength
    if (lacksLineFeed && !isWhole(line, path)) {
      return { told, wholeBytes, lacksLineFeed: false }
    }
    wholeBytes = line.end
    if (!isBlank(line)) {
      const found = readToldLine(line, path)
      const known = told.get(found.index)
      told.set(found.index, known?.isDone === true ? known : found)
    }
  }
  return { told, wholeBytes, lacksLineFeed }
}

/** True if the last line is complete except for its line feed. */
function isWhole(line: Line, path: string): boolean {
  try {
    readToldLine(line, path)
    return true
  } catch {
    return false
  }
}

/** Compares the batch with its results. @throws UsageError */
async function checkBelongs(path: string, told: Map<number, ToldLine>, init: ResultsFileInit): Promise<void> {
  let last = -1
  for (const index of told.keys()) {
    last = Math.max(last, index)
  }
  let index = 0
  if (last < 0) {
    return
  }
  for await (const line of splitLines(readInput(init.batch, 'batch', { signal: init.signal }), init.maxLineBytes)) {
    if (isBlank(line)) {
      continue
    }
    const found = told.get(index)
    const difference = found == null ? undefined : await differenceOf(found, taskOf(line, init.maxLineBytes), init.defaultPeer)
    if (difference != null) {
      throw notOfBatch(path, `line ${line.number} of ${init.batch} differs: ${difference}`)
    }
    if (++index > last) {
      return
    }
  }
  throw notOfBatch(path, `the last result has index ${last}, but ${init.batch} has ${index} tasks`)
}

function taskOf(line: Line, maxLineBytes: number): BatchLine | undefined {
  try {
    return toBatchLine(readLine(line, maxLineBytes))
  } catch {
    return undefined
  }
}

function notOfBatch(path: string, why: string): UsageError {
  return new UsageError(`${path} does not belong to this batch: ${why}`, {
    hint: 'nothing was sent; --resume needs the file with the results of this batch, or a new file',
  })
}

function cannotWrite(path: string, cause: unknown): UsageError {
  return new UsageError(`the results ${path} cannot be written: ${reasonOf(cause)}`, {
    cause,
    hint: 'the file lacks the tasks that ended since; once the file can be written, the same command continues',
  })
}
