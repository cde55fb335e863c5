import type { ProtocolKind } from '../../protocol/api/interceptor.ts'

/** The protocol kinds, by the form of their answer. */
export const PROTOCOL_KINDS = {
  unary: { short: 'one answer', answers: 'one answer', many: false },
  'server-streaming': { short: 'many answers', answers: 'any number of answers', many: true },
} satisfies Record<ProtocolKind, { short: string; answers: string; many: boolean }>
