import { create, type DescFile, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import {
  Kind,
  type Protocol,
  type ReflectionRequest,
  ReflectionRequestSchema,
  ReflectionResponseSchema,
} from '../../gen/subnet/reflection/v1/reflection_pb.ts'
import { type Destination, isProtocolId, type MessageSchemas, type ProtocolHandler, type ProtocolHost } from '../api/host.ts'
import type { ProtocolKind } from '../api/interceptor.ts'
import type { CallOptions } from '../call/call-options.ts'
import { Caller } from '../call/caller.ts'
import { protobufCodec } from '../message/codec.ts'
import { ProtobufProtocol } from '../protobuf-protocol.ts'
import type { RequestContext } from '../serve/incoming-request.ts'

/** A peer's description of one of its protocols. */
export interface ProtocolDescription {
  /** The libp2p protocol ID. */
  id: string
  /** Undefined for an unknown kind. */
  kind: ProtocolKind | undefined
  /** Full names of the two messages. Undefined if they are not protobuf. */
  requestType: string | undefined
  responseType: string | undefined
}

/** A protocol's description with its message schemas. */
export interface DescribedProtocol extends ProtocolDescription {
  /** A google.protobuf.FileDescriptorSet, as sent by the peer. Undefined if it sent none. */
  fileDescriptorSet: Uint8Array | undefined
}

const ID = '/subnet/reflection/1.0.0'
const MAX_FRAME_BYTES = 1 << 20
/** Leaves room for the rest of the response. */
const MAX_DESCRIPTOR_BYTES = MAX_FRAME_BYTES - 4_096
const MAX_PROTOCOLS = 1_000
/** Size of a list entry, without its names. */
const MESSAGE_BYTES = 32
/** A full protobuf name of limited length. */
const TYPE_NAME = /^[A-Za-z_][\w.]{0,511}$/

const KINDS: Record<ProtocolKind, Kind> = { unary: Kind.UNARY, 'server-streaming': Kind.SERVER_STREAMING }

/** `/subnet/reflection/1.0.0`: lists the protocols of this node and the descriptors of their messages. */
export class ReflectionProtocol extends ProtobufProtocol<typeof ReflectionRequestSchema, typeof ReflectionResponseSchema> {
  readonly #protocols: () => Iterable<ProtocolHandler>
  /** Cached descriptors, because they do not change. */
  readonly #descriptors = new WeakMap<MessageSchemas, Uint8Array>()

  constructor(host: ProtocolHost) {
    super(host, {
      id: ID,
      request: ReflectionRequestSchema,
      response: ReflectionResponseSchema,
      limits: { maxFrameBytes: MAX_FRAME_BYTES },
    })
    this.#protocols = () => host.protocols
  }

  protected override async handleRequest(
    _context: RequestContext,
    { protocolId }: ReflectionRequest,
  ): Promise<MessageInitShape<typeof ReflectionResponseSchema>> {
    const all = [...this.#protocols()]
    if (protocolId === '') {
      return { protocols: fitting(all) }
    }
    const found = all.find(({ id }) => id === protocolId)
    return found == null ? {} : { protocols: [toMessage(found)], fileDescriptorSet: this.#describe(found.schemas) }
  }

  #describe(schemas: MessageSchemas | undefined): Uint8Array {
    if (schemas == null) {
      return new Uint8Array()
    }
    const bytes = this.#descriptors.get(schemas) ?? fileDescriptorSetOf(schemas)
    this.#descriptors.set(schemas, bytes)
    return bytes.byteLength > MAX_DESCRIPTOR_BYTES ? new Uint8Array() : bytes
  }
}

/** Queries the protocols of peers. The node does not need to serve reflection itself. */
export class ReflectionCaller {
  readonly #caller: Caller<{ protocolId: string }, { protocols: Protocol[]; fileDescriptorSet: Uint8Array }>

  constructor(host: ProtocolHost) {
    this.#caller = new Caller(host, {
      id: ID,
      encode: protobufCodec(ReflectionRequestSchema).encode,
      decode: protobufCodec(ReflectionResponseSchema).decode,
      limits: { maxFrameBytes: MAX_FRAME_BYTES },
    })
  }

  /** Lists all protocols of a peer. @throws ProtocolError PROTOCOL_UNSUPPORTED if the peer has no reflection; errors of a call */
  async list(to: Destination, options?: CallOptions): Promise<ProtocolDescription[]> {
    const { protocols } = await this.#caller.one(to, { protocolId: '' }, options)
    return protocols
      .slice(0, MAX_PROTOCOLS)
      .map(readProtocol)
      .filter(({ id }) => isProtocolId(id))
  }

  /** Describes one protocol of a peer. Undefined if the peer does not support it. @throws as `list` */
  async describe(to: Destination, protocolId: string, options?: CallOptions): Promise<DescribedProtocol | undefined> {
    const { protocols, fileDescriptorSet } = await this.#caller.one(to, { protocolId }, options)
    const found = protocols.map(readProtocol).find(({ id }) => id === protocolId)
    return found == null ? undefined : { ...found, fileDescriptorSet: fileDescriptorSet.byteLength > 0 ? fileDescriptorSet : undefined }
  }
}

/** Returns as many protocols as fit into one response. */
function fitting(protocols: ProtocolHandler[]): Array<Omit<Protocol, '$typeName'>> {
  const answers = protocols.slice(0, MAX_PROTOCOLS).map(toMessage)
  let bytes = 0
  const end = answers.findIndex(({ id, requestType, responseType }) => {
    bytes += MESSAGE_BYTES + id.length + requestType.length + responseType.length
    return bytes > MAX_DESCRIPTOR_BYTES
  })
  return end < 0 ? answers : answers.slice(0, end)
}

function toMessage({ id, kind, schemas }: ProtocolHandler): Omit<Protocol, '$typeName'> {
  return { id, kind: KINDS[kind], requestType: schemas?.request.typeName ?? '', responseType: schemas?.response.typeName ?? '' }
}

function readProtocol({ id, kind, requestType, responseType }: Protocol): ProtocolDescription {
  const kinds = Object.entries(KINDS) as Array<[ProtocolKind, Kind]>
  return {
    id,
    kind: kinds.find(([, value]) => value === kind)?.[0],
    requestType: TYPE_NAME.test(requestType) ? requestType : undefined,
    responseType: TYPE_NAME.test(responseType) ? responseType : undefined,
  }
}

/** Encodes the files that define these messages, with all their imports first. */
function fileDescriptorSetOf({ request, response }: MessageSchemas): Uint8Array {
  const files = new Map<string, DescFile>()
  const add = (file: DescFile): void => {
    if (!files.has(file.proto.name)) {
      file.dependencies.forEach(add)
      files.set(file.proto.name, file)
    }
  }
  add(request.file)
  add(response.file)
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files.values()].map(({ proto }) => proto) }))
}
