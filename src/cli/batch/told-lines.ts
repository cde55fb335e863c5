import { parsePeerTarget } from '../../primitives/address.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Line } from '../../primitives/lines.ts'
import { toText } from '../../primitives/strict-text.ts'
import type { BatchLine } from './batch-line.ts'

/** The result of one line of a batch. */
export interface ToldLine {
  index: number
  taskId: string | null
  /** The peer as written in the line; the peer ID for an answered task. */
  peer: string | null
  peerId: string | undefined
  bytesSent: number | undefined
  /** The exit code of the task; undefined if it was accepted. */
  exit: number | undefined
  /** True if the peer answered the task, or may have acted on it. */
  isDone: boolean
}

/** Error codes of tasks that no peer has acted on. */
const NOT_ACTED_CODES = ['USAGE', 'PEER_NOT_FOUND', 'UNREACHABLE', 'PROTOCOL_UNSUPPORTED', 'CHAIN_UNAVAILABLE', 'NOT_ADMITTED']
/** The same in the message of other errors. */
const NOT_ACTED = /the peer has not acted on it|nothing was sent/
const REJECTED = { code: 'TASK_REJECTED', exit: 7 }
/** The form of the task ID for a line without one. */
const RANDOM_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Reads a line of the results. @throws UsageError for a line that is not a result */
export function readToldLine({ bytes, number }: Line, file: string): ToldLine {
  const told = bytes == null ? undefined : parse(toText(bytes, file, number))
  const { index, accepted, error } = told ?? {}
  if (told == null || !Number.isSafeInteger(index) || Number(index) < 0 || typeof accepted !== 'boolean' || accepted !== (error == null)) {
    throw new UsageError(`line ${number} of ${file} is not a result of a batch`, {
      hint: '--resume needs the file with the results of this batch, or a new file',
    })
  }
  const { code, exit, message } = { ...REJECTED, ...(error as { code?: string; exit?: number; message?: string } | null) }
  return {
    index: Number(index),
    taskId: textOf(told['taskId']) ?? null,
    peer: textOf(told['peer']) ?? null,
    peerId: textOf(told['peerId']),
    bytesSent: typeof told['bytesSent'] === 'number' ? told['bytesSent'] : undefined,
    exit: accepted === true ? undefined : exit,
    isDone: !NOT_ACTED_CODES.includes(code) && !(code !== REJECTED.code && NOT_ACTED.test(message ?? '')),
  }
}

/** Describes how a line differs from its result; undefined if it matches. @param line undefined for an invalid line */
export async function differenceOf(
  told: ToldLine,
  line: BatchLine | undefined,
  defaultPeer: string | undefined,
): Promise<string | undefined> {
  if (line == null) {
    return told.peerId == null ? undefined : 'it is not a valid task'
  }
  if (line.taskId == null ? told.taskId != null && !RANDOM_ID.test(told.taskId) : line.taskId !== told.taskId) {
    return `its task id is ${line.taskId ?? 'missing'}, in the results ${told.taskId}`
  }
  const peer = line.peer ?? defaultPeer ?? null
  if (isForAnother(told, peer)) {
    return `its task is for ${peer}, in the results for ${told.peerId ?? told.peer}`
  }
  // the result of an unanswered task has no size
  const size = told.peerId == null || line.isFile ? undefined : await line.size()
  return size == null || size === told.bytesSent ? undefined : `its payload has ${size} bytes, in the results ${told.bytesSent}`
}

function isForAnother(told: ToldLine, peer: string | null): boolean {
  return told.peerId == null ? peer !== told.peer : (idOf(peer) ?? told.peerId) !== told.peerId
}

/** Undefined for an alias. */
function idOf(peer: string | null): string | undefined {
  try {
    return peer == null ? undefined : parsePeerTarget(peer).peerId.toString()
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text)
    return value != null && typeof value === 'object' && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
