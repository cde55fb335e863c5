import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Connection, PeerId } from '@libp2p/interface'
import { AdmissionRequestSchema, AdmissionResponseSchema } from '../../gen/subnet/admission/v1/admission_pb.ts'
import { ConnectionLostError, type ProtocolHost } from '../api/host.ts'
import { Caller } from '../call/caller.ts'
import { protobufCodec } from '../message/codec.ts'
import { ProtobufProtocol } from '../protobuf-protocol.ts'
import type { RequestContext } from '../serve/incoming-request.ts'

/** The only protocol served to a peer that is not admitted. */
export const ADMISSION_PROTOCOL_ID = '/subnet/admission/1.0.0'

const MAX_FRAME_BYTES = 4 * 1024
const MAX_REASON_CHARACTERS = 1_000
/** Time limit of the question, in milliseconds. A refusing peer closes the connection soon, so it answers at once or not at all. */
const ASK_TIMEOUT_MS = 1_000

/** `/subnet/admission/1.0.0`: reports whether a peer is admitted, or the reason why not. */
export class AdmissionProtocol extends ProtobufProtocol<typeof AdmissionRequestSchema, typeof AdmissionResponseSchema> {
  readonly #refusalOf: (peerId: PeerId) => string | undefined

  /** @param refusalOf the reason why a peer is refused. Undefined if it is admitted */
  constructor(host: ProtocolHost, refusalOf: (peerId: PeerId) => string | undefined) {
    super(host, {
      id: ADMISSION_PROTOCOL_ID,
      request: AdmissionRequestSchema,
      response: AdmissionResponseSchema,
      limits: { maxFrameBytes: MAX_FRAME_BYTES },
      // a refused peer has no stream to keep
      pipelined: false,
    })
    this.#refusalOf = refusalOf
  }

  protected override async handleRequest({ peerId }: RequestContext): Promise<MessageInitShape<typeof AdmissionResponseSchema>> {
    const reason = this.#refusalOf(peerId)
    return reason == null ? { admitted: true } : { reason: reason.slice(0, MAX_REASON_CHARACTERS) }
  }
}

/** Asks the remote peer of this connection why it refuses this node. Undefined if it does not, or gives no answer. */
export async function askForRefusal(host: ProtocolHost, connection: Connection): Promise<string | undefined> {
  const caller = new Caller(
    {
      ...{ limits: host.limits, budget: host.budget, log: host.log, interceptors: [], protocols: [] },
      addProtocol: () => undefined,
      removeProtocol: async () => undefined,
      protocolsOf: async () => [],
      servedOn: (of) => host.servedOn(of),
      refusalOf: async () => undefined,
      reach: async (_to, use) => use({ connection, source: 'connected', attempts: [] }),
    },
    {
      id: ADMISSION_PROTOCOL_ID,
      encode: protobufCodec(AdmissionRequestSchema).encode,
      decode: protobufCodec(AdmissionResponseSchema).decode,
      limits: { maxFrameBytes: MAX_FRAME_BYTES },
      pipelined: false,
    },
  )
  try {
    const { admitted, reason } = await caller.one(connection.remotePeer, {}, { timeoutMs: ASK_TIMEOUT_MS })
    return admitted ? undefined : reason.slice(0, MAX_REASON_CHARACTERS) || 'no reason given'
  } catch (error) {
    if (error instanceof Error && error.cause instanceof ConnectionLostError) {
      // its muxer has ended, which libp2p notices before the socket does
      connection.abort(error)
    }
    // not a peer of this package, or it requires no admission
    return undefined
  }
}
