import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'

/** Limits of a circuit. */
export interface CircuitBounds {
  /** Both directions together. */
  bytes: number
  durationMs: number
}

/**
 * Joins two streams into one circuit with backpressure in both directions. The library's own join buffers a whole direction in memory until
 * the circuit ends. Both streams are reset when a limit is exceeded.
 */
export function joinStreams(one: Stream, other: Stream, { bytes, durationMs }: CircuitBounds): void {
  const circuit = { leftBytes: bytes, end }
  const timer = setTimeout(() => end(new Error(`a circuit lasts ${durationMs} ms`)), durationMs).unref()
  function end(reason: Error): void {
    clearTimeout(timer)
    one.abort(reason)
    other.abort(reason)
  }
  one.addEventListener('close', () => clearTimeout(timer), { once: true })
  pass(one, other, circuit)
  pass(other, one, circuit)
}

function pass(from: Stream, to: Stream, circuit: { leftBytes: number; end(reason: Error): void }): void {
  let isOver = false
  const closeBehindAll = (): void => {
    if (isOver && from.readBufferLength === 0 && to.writeStatus === 'writable') {
      to.close().catch(circuit.end)
    }
  }
  to.addEventListener('drain', () => {
    if (from.readStatus === 'paused') {
      from.resume()
    }
  })
  from.addEventListener('remoteCloseWrite', () => {
    isOver = true
    closeBehindAll()
  })
  from.addEventListener('close', ({ error }: StreamCloseEvent) => {
    if (error != null) {
      circuit.end(error)
    }
  })
  from.addEventListener('message', ({ data }: StreamMessageEvent) => {
    circuit.leftBytes -= data.byteLength
    if (circuit.leftBytes < 0 || to.writeStatus !== 'writable') {
      circuit.end(new Error(circuit.leftBytes < 0 ? 'a circuit carries no more bytes' : 'the other side takes no more'))
      return
    }
    if (!to.send(data) && from.readStatus === 'readable') {
      from.pause()
    }
    closeBehindAll()
  })
}
