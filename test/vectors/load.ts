import { readFileSync } from 'node:fs'
import type { FrameInit } from '../../src/protocol/carrier/kept/pipelined-frame.ts'

/** Bytes in hex; long ones in parts, of which some come many times. */
type Hex = string | Array<string | { repeat: string; times: number }>

interface WireFields {
  request: { taskId: string; payload: Hex }
  response: { accepted: boolean; result: Hex; error: string }
}

/** The fields of a message, as the generated code wants them. */
interface Fields {
  request: { taskId: string; payload: Uint8Array }
  response: { accepted: boolean; result: Uint8Array; error: string }
}

/** Why a reader gives no message. */
export type Failure =
  | 'empty-stream'
  | 'truncated-prefix'
  | 'bad-prefix'
  | 'over-limit'
  | 'truncated-body'
  | 'more-than-one-message'
  | 'undecodable'

export type Kind = keyof Fields

interface Entry<K extends Kind = Kind> {
  name: string
  kind: K
  frame: Hex
  fields?: WireFields[K]
  fails?: Failure
  canonical?: true
  choice?: { why: string; fields?: WireFields[K]; fails?: Failure }
}

/** What a reader makes of a frame. */
export type Outcome<K extends Kind = Kind> = { fields: Fields[K] } | { fails: Failure }

export type Vector = {
  [K in Kind]: {
    name: string
    kind: K
    /** All that comes on the stream, which then ends. */
    frame: Uint8Array
    /** What subnet-cli makes of it. */
    outcome: Outcome<K>
    /** What else is right; undefined where nothing is. */
    otherwise: Outcome<K> | undefined
    /** Whoever writes these fields writes exactly this frame. */
    canonical: boolean
  }
}[Kind]

function bytes(hex: Hex): Buffer {
  const parts = [hex].flat().map((part) => (typeof part === 'string' ? part : part.repeat.repeat(part.times)))
  const text = parts.join('')
  const decoded = Buffer.from(text, 'hex')
  if (decoded.byteLength * 2 !== text.length) {
    throw new Error(`no hex: ${text.slice(0, 80)}`)
  }
  return decoded
}

function decoded(fields: WireFields[Kind]): Fields[Kind] {
  return 'payload' in fields ? { ...fields, payload: bytes(fields.payload) } : { ...fields, result: bytes(fields.result) }
}

function outcomeOf({ fields, fails }: { fields?: WireFields[Kind]; fails?: Failure }, name: string): Outcome {
  if ((fields == null) === (fails == null)) {
    throw new Error(`vector "${name}" needs either fields or what fails`)
  }
  return fields == null ? { fails: fails as Failure } : { fields: decoded(fields) }
}

function toVector({ name, kind, frame, canonical, choice, ...outcome }: Entry): Vector {
  return {
    name,
    kind,
    frame: bytes(frame),
    outcome: outcomeOf(outcome, name),
    otherwise: choice == null ? undefined : outcomeOf(choice, name),
    canonical: canonical === true,
  } as Vector
}

const file = JSON.parse(readFileSync(new URL('task-protocol.json', import.meta.url), 'utf8')) as {
  protocol: string
  maxFrameBytes: number
  vectors: Entry[]
}

export const PROTOCOL = file.protocol
/** The limit of the readers that the vectors are for. */
export const MAX_FRAME_BYTES = file.maxFrameBytes
export const VECTORS = file.vectors.map(toVector)

/** A frame of a stream that many calls share. */
export interface PipelinedVector {
  note: string
  from: 'caller' | 'answerer'
  frame: Uint8Array
  fields: FrameInit
}

const pipelined = JSON.parse(readFileSync(new URL('pipelined.json', import.meta.url), 'utf8')) as {
  protocol: string
  exchange: Array<{
    note: string
    from: 'caller' | 'answerer'
    frame: Hex
    fields: { piece?: Hex } & Omit<PipelinedVector['fields'], 'piece'>
  }>
  refused: Array<{ note: string; frame: Hex }>
}

export const PIPELINED_PROTOCOL = pipelined.protocol
export const PIPELINED: PipelinedVector[] = pipelined.exchange.map(({ note, from, frame, fields: { piece, ...rest } }) => ({
  note,
  from,
  frame: bytes(frame),
  fields: { ...rest, ...(piece == null ? {} : { piece: new Uint8Array(bytes(piece)) }) },
}))
/** What resets the stream. */
export const PIPELINED_REFUSED = pipelined.refused.map(({ note, frame }) => ({ note, frame: bytes(frame) }))
