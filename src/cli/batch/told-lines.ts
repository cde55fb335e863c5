import { parsePeerTarget } from '../../primitives/address.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Line } from '../../primitives/lines.ts'
import { toText } from '../../primitives/strict-text.ts'
import type { BatchLine } from './batch-line.ts'

/** What the results of a batch tell of one of its lines. */
export interface ToldLine {
  index: number
  taskId: string | null
  /** As its line spelled it; of a task that was answered, its ID. */
  peer: string | null
  peerId: string | undefined
  bytesSent: number | undefined
  /** What the task ended with; undefined where it was accepted. */
  exit: number | undefined
  /** Whether the peer answered it, or may have acted on it. */
  isDone: boolean
}

/** A task that ended with one of these was not acted on. */
const NOT_ACTED_CODES = ['USAGE', 'PEER_NOT_FOUND', 'UNREACHABLE', 'PROTOCOL_UNSUPPORTED', 'CHAIN_UNAVAILABLE', 'NOT_ADMITTED']
/** Other errors say it in words. */
const NOT_ACTED = /the peer has not acted on it|nothing was sent/
const REJECTED = { code: 'TASK_REJECTED', exit: 7 }
/** Of a task whose line names none. */
const RANDOM_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Reads a line of the results. @throws UsageError for what no batch printed */
export function readToldLine({ bytes, number }: Line, file: string): ToldLine {
  const told = bytes == null ? undefined : parse(toText(bytes, file, number))
  const { index, accepted, error } = told ?? {}
  if (told == null || !Number.isSafeInteger(index) || Number(index) < 0 || typeof accepted !== 'boolean' || accepted !== (error == null)) {
    throw new UsageError(`line ${number} of ${file} is no result of a batch`, {
      hint: '--resume names the file that the results of this batch went to, or one that is not there yet',
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

/** How a line of the batch differs from what is told of it; undefined where it does not. @param line undefined of one that makes no task */
export async function differenceOf(
  told: ToldLine,
  line: BatchLine | undefined,
  defaultPeer: string | undefined,
): Promise<string | undefined> {
  if (line == null) {
    return told.peerId == null ? undefined : 'it makes no task'
  }
  if (line.taskId == null ? told.taskId != null && !RANDOM_ID.test(told.taskId) : line.taskId !== told.taskId) {
    return `its task is ${line.taskId ?? 'without an id'}, that of the results ${told.taskId}`
  }
  const peer = line.peer ?? defaultPeer ?? null
  if (isForAnother(told, peer)) {
    return `its task is for ${peer}, that of the results for ${told.peerId ?? told.peer}`
  }
  // where it was not answered, nothing is told of its size
  const size = told.peerId == null || line.isFile ? undefined : await line.size()
  return size == null || size === told.bytesSent ? undefined : `its payload has ${size} bytes, that of the results had ${told.bytesSent}`
}

function isForAnother(told: ToldLine, peer: string | null): boolean {
  return told.peerId == null ? peer !== told.peer : (idOf(peer) ?? told.peerId) !== told.peerId
}

/** Undefined of an alias. */
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
