import type { ProtocolAnswer } from '../../session/answers.ts'
import { PROTOCOL_KINDS } from '../messages/protocol-kinds.ts'
import { table } from './render.ts'

/** Formats protocols as a table that fits the width, in columns; only the IDs if nothing else is known. */
export function protocolTable(protocols: ProtocolAnswer[], width?: number): string {
  if (protocols.every(({ kind }) => kind == null)) {
    return table(protocols.map(({ id }) => [id]))
  }
  const rows = protocols.map(({ id, kind, requestType, responseType }) => [
    id,
    kind == null ? '-' : PROTOCOL_KINDS[kind].short,
    lastName(requestType),
    lastName(responseType),
  ])
  return table([['PROTOCOL', 'GIVES', 'REQUEST', 'RESPONSE'], ...rows], width)
}

function lastName(type: string | null): string {
  return type?.split('.').at(-1) ?? '-'
}
