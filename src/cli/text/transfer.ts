import { durationText } from '../../primitives/human-ms.ts'
import { humanBytes } from './bytes.ts'
import { humanTime, type Progress, showLine, withBar } from './progress.ts'

/** The sent and received bytes of one call. */
export interface TransferState {
  sent: number
  /** Length of the payload; undefined if unknown. */
  sentSize: number | undefined
  received: number
  receivedSize: number | undefined
  elapsedMs: number
  /** Milliseconds since the first byte of the answer. */
  receivingMs: number
}

/** A call below both limits shows nothing. */
const SHOWN_BYTES = 1024 * 1024
const SHOWN_MS = 1_000

/** The progress of one call: a line on a terminal while it runs, and a closing line. Off a terminal, nothing is shown. */
export class Transfer {
  readonly #startedAtMs = performance.now()
  readonly #progress: Progress | undefined
  #receivingAtMs: number | undefined
  #sent = 0
  #received = 0
  #sentSize: number | undefined
  #receivedSize: number | undefined

  constructor() {
    this.#progress = showLine((columns) => describeTransfer(this.state, columns))
  }

  get state(): TransferState {
    const now = performance.now()
    return {
      sent: this.#sent,
      sentSize: this.#sentSize,
      received: this.#received,
      receivedSize: this.#receivedSize,
      elapsedMs: now - this.#startedAtMs,
      receivingMs: now - (this.#receivingAtMs ?? now),
    }
  }

  /** Counts the bytes of a payload. @param size its length in bytes, if known */
  async *sending(chunks: AsyncIterable<Uint8Array>, size?: number): AsyncGenerator<Uint8Array> {
    this.#sentSize = size
    for await (const chunk of chunks) {
      this.#sent += chunk.byteLength
      yield chunk
    }
  }

  /** Counts the bytes of an answer. @param size its length in bytes, if known */
  async *receiving(chunks: AsyncIterable<Uint8Array>, size?: number): AsyncGenerator<Uint8Array> {
    this.#receivedSize = size
    this.#receivingAtMs ??= performance.now()
    for await (const chunk of chunks) {
      this.#received += chunk.byteLength
      yield chunk
    }
  }

  /** How far the call came: `97 of 300 MB`, `12 of 300 MB of the answer`; for a small call the time, `2 s`. */
  get howFar(): string {
    return describeReached(this.state)
  }

  /** Removes the line permanently. May be called at any time. */
  stop(): void {
    this.#progress?.stop()
  }

  [Symbol.dispose](): void {
    this.stop()
  }

  /** Prints the closing line, only on a terminal. @param file the file with the answer */
  tell(file?: string): void {
    this.stop()
    const { state } = this
    if (process.stderr.isTTY === true && isWorthALine(state)) {
      process.stderr.write(`${transferSummary(state, file)}\n`)
    }
  }
}

/** `[=====>     ] 41 %, 120 of 300 MB sent, 82 MB/s, 2 s left`; undefined for a call below the limits. */
export function describeTransfer(state: TransferState, columns: number): string | undefined {
  if (!isWorthALine(state)) {
    return undefined
  }
  const { sent, sentSize, received, receivedSize, elapsedMs, receivingMs } = state
  const isSending = isStillSending(state)
  const parts = movesMuch(state) ? [`${partOf(sent, sentSize)} sent`] : []
  if (received > 0) {
    parts.push(`${partOf(received, receivedSize)} received`)
  } else if (!isSending) {
    parts.push('waiting for the answer')
  }
  parts.push(...(movesMuch(state) ? [bytesPerSecond(state)] : []))
  const [done, size, ms] = isSending ? [sent, sentSize, elapsedMs] : [received, receivedSize, receivingMs]
  const share = size == null || size === 0 || done === 0 ? undefined : Math.min(1, done / size)
  parts.push(share == null ? humanTime(elapsedMs) : `${humanTime((ms * (1 - share)) / share)} left`)
  return withBar(share, parts.join(', '), columns)
}

/** `300 MB sent, 300 MB → big.out, 7.5 s, 80 MB/s`: the rate is for both directions together. */
export function transferSummary(state: TransferState, file?: string): string {
  const { sent, received, elapsedMs } = state
  const answer = `${humanBytes(received)} ${file == null ? 'received' : `→ ${file}`}`
  return [`${humanBytes(sent)} sent`, answer, durationText(elapsedMs), ...(movesMuch(state) ? [bytesPerSecond(state)] : [])].join(', ')
}

/** The sent part of a payload, then the received part of its answer; for a small call the time. */
export function describeReached(state: TransferState): string {
  const { sent, sentSize, received, receivedSize, elapsedMs } = state
  if (!movesMuch(state) || (received === 0 && !isStillSending(state))) {
    return durationText(elapsedMs)
  }
  return isStillSending(state) ? partOf(sent, sentSize) : `${partOf(received, receivedSize)} of the answer`
}

function isStillSending({ sent, sentSize, received }: TransferState): boolean {
  return sentSize == null ? received === 0 : sent < sentSize
}

function isWorthALine(state: TransferState): boolean {
  return movesMuch(state) || state.elapsedMs > SHOWN_MS
}

function movesMuch({ sent, sentSize, received, receivedSize }: TransferState): boolean {
  return Math.max(sent, sentSize ?? 0, received, receivedSize ?? 0) > SHOWN_BYTES
}

function bytesPerSecond({ sent, received, elapsedMs }: TransferState): string {
  return `${humanBytes(elapsedMs > 0 ? ((sent + received) / elapsedMs) * 1_000 : 0)}/s`
}

/** `120 of 300 MB`, `900 kB of 300 MB`, `300 MB`. */
function partOf(done: number, size: number | undefined): string {
  if (size == null || done >= size) {
    return humanBytes(done)
  }
  const [part, whole] = [humanBytes(done), humanBytes(size)]
  const unit = part.slice(part.indexOf(' '))
  return `${whole.endsWith(unit) ? part.slice(0, -unit.length) : part} of ${whole}`
}
