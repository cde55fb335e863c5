import { streamPair } from '@libp2p/utils'
import { ByteBudget } from '../../src/protocol/api/limits.ts'
import type { CallBounds } from '../../src/protocol/carrier/kept/call-bounds.ts'
import { Pipeline, type PipelineInit } from '../../src/protocol/carrier/kept/pipeline.ts'
import type { PipelinedCall } from '../../src/protocol/carrier/kept/pipelined-call.ts'
import { encodeFrames, type Frame, type FrameInit, FrameReader } from '../../src/protocol/carrier/kept/pipelined-frame.ts'
import { TestStream } from './streams.ts'

const MIB = 1024 * 1024
/** Longer than any loaded machine needs, where a test is not about silence. */
export const NEVER_MS = 60_000
export const CAPACITY = 64 * MIB

export type TestBounds = CallBounds & { budget: ByteBudget }

export function boundsOf(limits: Partial<CallBounds['limits']> = {}): TestBounds {
  return {
    limits: {
      maxFrameBytes: 16 * MIB,
      maxStreamedBytes: 2 ** 31 - 1,
      stallTimeoutMs: NEVER_MS,
      consumerTimeoutMs: NEVER_MS,
      minBytesPerSecond: 1,
      allowSlowBodies: false,
      ...limits,
    },
    budget: new ByteBudget(CAPACITY),
  }
}

/** The bytes of these frames. */
export function bytesOf(...frames: FrameInit[]): Uint8Array {
  return encodeFrames(frames.map((frame) => ({ ...frame })))
}

/** The frames in these bytes. */
export function framesIn(bytes: Uint8Array): Frame[] {
  const reader = new FrameReader()
  reader.feed(bytes)
  const frames: Frame[] = []
  for (let frame = reader.next(); frame != null; frame = reader.next()) {
    frames.push({ ...frame, piece: frame.piece.slice() })
  }
  return frames
}

/** One end of a stream that carries many calls. */
export interface End {
  pipeline: Pipeline
  bounds: TestBounds
  /** Calls of the other end, in the order in which they came. */
  calls: PipelinedCall[]
  /** Why it is over; undefined where it was closed. */
  closed: Promise<Error | undefined>
}

interface EndOptions extends Partial<PipelineInit> {
  bounds?: TestBounds
  answer?: ((call: PipelinedCall) => void | Promise<void>) | undefined
}

function endOn(stream: PipelineInit['stream'], answers: boolean, { bounds = boundsOf(), answer, ...init }: EndOptions): End {
  const calls: PipelinedCall[] = []
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<Error | undefined>()
  const onCall = (call: PipelinedCall): void => {
    calls.push(call)
    void Promise.resolve(answer?.(call)).catch((error) => call.abort(error))
  }
  const pipeline = new Pipeline({
    stream,
    stallTimeoutMs: NEVER_MS,
    idleMs: NEVER_MS,
    onClosed,
    ...(answers ? { answers: { bounds, onCall } } : {}),
    ...init,
  })
  return { pipeline, bounds, calls, closed }
}

/** An end whose other end is the test. */
export interface HeldEnd extends End {
  stream: TestStream
  /** What comes from the test. */
  receive(...frames: FrameInit[]): void
  /** All that was sent. */
  readonly sent: Frame[]
}

function held(answers: boolean, options: EndOptions): HeldEnd {
  const stream = new TestStream(answers ? 'inbound' : 'outbound')
  return {
    ...endOn(stream, answers, options),
    stream,
    receive: (...frames) => stream.receive(bytesOf(...frames)),
    get sent() {
      return framesIn(stream.output)
    },
  }
}

/** The end that calls, in the hands of one that answers. */
export function callingEnd(options: EndOptions = {}): HeldEnd {
  return held(false, options)
}

/** The end that answers, in the hands of one that calls. */
export function answeringEnd(options: EndOptions = {}): HeldEnd {
  return held(true, options)
}

/** Both ends of a stream in memory. */
export async function bothEnds(options: { caller?: EndOptions; answerer?: EndOptions } = {}): Promise<{ caller: End; answerer: End }> {
  const [outbound, inbound] = await streamPair()
  return { caller: endOn(outbound, false, options.caller ?? {}), answerer: endOn(inbound, true, options.answerer ?? {}) }
}

/** Answers with what it was asked. */
export async function echo(call: PipelinedCall): Promise<void> {
  const { bytes, release } = await call.read()
  call.expectEnd()
  await call.write(bytes)
  await call.close()
  release()
}

/** One request, its one answer. */
export async function ask(end: End, bytes: Uint8Array): Promise<Uint8Array> {
  const call = end.pipeline.begin(end.bounds)
  await call.write(bytes)
  const answer = await call.read()
  call.expectEnd()
  await call.close()
  answer.release()
  return answer.bytes
}
