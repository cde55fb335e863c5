import type { SubnetNode } from '../node/subnet-node.ts'
import { DEFAULT_TIMEOUT_MS } from '../primitives/deadline.ts'
import { UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import { checkProtocolId, type Destination, peerOf, withoutPipelined } from '../protocol/api/host.ts'
import type { ProtocolKind } from '../protocol/api/interceptor.ts'
import { type ProtocolDescription, ReflectionCaller } from '../protocol/builtin/reflection.ts'
import { Caller } from '../protocol/call/caller.ts'
import type { DescribedAnswer, ProtocolAnswer, ProtocolsAnswer } from './answers.ts'
import { collectPayload } from './collect-payload.ts'
import type { CallInput, ProtocolSession, SessionOptions } from './session.ts'

export interface ProtocolCallsInit {
  node: SubnetNode
  /** @throws UsageError if the text names no peer */
  destination(peer: string): Promise<Exclude<Destination, string>>
  /** The maximum size of a request, in bytes. */
  maxRequestBytes: number
}

/** The maximum number of a peer's protocols in a hint. */
const MAX_PROTOCOLS_NAMED = 20
/** A codec that passes bytes through: the client of the session encodes and decodes. */
const AS_IT_IS = { encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes }

/** A caller that sends and receives bytes. */
type ByteCaller = Caller<Uint8Array, Uint8Array>
type CallOf = (
  caller: ByteCaller,
  to: Destination,
  bytes: Uint8Array,
  options: { signal: AbortSignal | undefined; timeoutMs: number },
) => AsyncIterable<Uint8Array>

/** The call for each kind of protocol. */
const CALLS = {
  async *unary(caller, to, bytes, options) {
    yield await caller.one(to, bytes, options)
  },
  'server-streaming': (caller, to, bytes, options) => caller.many(to, bytes, { ...options, idleTimeoutMs: options.timeoutMs }),
} satisfies Record<ProtocolKind, CallOf>

/** The kind with this name. @throws UsageError */
export function kindOf(name: string): ProtocolKind {
  const kinds = Object.keys(CALLS) as ProtocolKind[]
  const kind = kinds.find((known) => known === name)
  if (kind == null) {
    throw new UsageError(`kind: ${JSON.stringify(name)} is not valid; expected ${kinds.join(' or ')}`)
  }
  return kind
}

/** The session's calls to protocols of other peers, made by an in-process node. */
export class ProtocolCalls implements ProtocolSession {
  readonly #init: ProtocolCallsInit
  readonly #reflection: ReflectionCaller

  constructor(init: ProtocolCallsInit) {
    this.#init = init
    this.#reflection = new ReflectionCaller(init.node)
  }

  async list(peer: string, options: SessionOptions = {}): Promise<ProtocolsAnswer> {
    const to = await this.#init.destination(peer)
    const peerId = peerOf(to).toString()
    try {
      const protocols = await this.#reflection.list(to, options)
      return { peerId, source: 'reflection', protocols: protocols.map(toAnswer).sort((a, b) => (a.id < b.id ? -1 : 1)) }
    } catch (error) {
      if (!isUnsupported(error)) {
        throw error
      }
      const ids = withoutPipelined(await this.#init.node.protocolsOf(peerOf(to), options))
      const unknown = { kind: undefined, requestType: undefined, responseType: undefined }
      return { peerId, source: 'identify', protocols: ids.sort().map((id) => toAnswer({ id, ...unknown })) }
    }
  }

  async describe(peer: string, protocolId: string, options: SessionOptions = {}): Promise<DescribedAnswer> {
    checkProtocolId(protocolId)
    const to = await this.#init.destination(peer)
    const peerId = peerOf(to).toString()
    const giveUpAtMs = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const found = await this.#reflection.describe(to, protocolId, options).catch((error) => {
      throw isUnsupported(error)
        ? new ProtocolError('PROTOCOL_UNSUPPORTED', `${peerId} does not describe its protocols`, {
            cause: error,
            hint: '--proto FILE describes the messages of a protocol',
          })
        : error
    })
    if (found == null) {
      const spoken = await this.list(peer, { ...options, timeoutMs: Math.max(1, giveUpAtMs - performance.now()) })
      throw new ProtocolError('PROTOCOL_UNSUPPORTED', `${peerId} does not speak ${protocolId}`, {
        hint: `it speaks ${named(spoken.protocols)}`,
      })
    }
    const { fileDescriptorSet, ...protocol } = found
    return { peerId, protocol: toAnswer(protocol), fileDescriptorSet: fileDescriptorSet ?? null }
  }

  async *call(peer: string, { protocolId, kind, request }: CallInput, options: SessionOptions = {}): AsyncGenerator<Uint8Array> {
    checkProtocolId(protocolId)
    const to = await this.#init.destination(peer)
    const giveUpAtMs = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const bytes = await collectPayload(request, this.#init.maxRequestBytes, options)
    const timeoutMs = Math.max(1, Math.round(giveUpAtMs - performance.now()))
    const caller: ByteCaller = new Caller(this.#init.node, { id: protocolId, ...AS_IT_IS })
    yield* CALLS[kindOf(kind)](caller, to, bytes, { signal: options.signal, timeoutMs })
  }
}

function named(protocols: ProtocolAnswer[]): string {
  const more = protocols.length - MAX_PROTOCOLS_NAMED
  const ids = protocols.slice(0, MAX_PROTOCOLS_NAMED).map(({ id }) => id)
  return `${ids.join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}

function toAnswer({ id, kind, requestType, responseType }: ProtocolDescription): ProtocolAnswer {
  return { id, kind: kind ?? null, requestType: requestType ?? null, responseType: responseType ?? null }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof ProtocolError && error.code === 'PROTOCOL_UNSUPPORTED'
}
