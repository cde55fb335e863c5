import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import { NODE_CLASSES, type NodeClass } from '../../chain/registry.ts'
import {
  ActivityResponseSchema,
  AliasSchema,
  BenchResponseSchema,
  ChainListResponseSchema,
  ChainPublishResponseSchema,
  ChainRecordSchema,
  ChainRegisterResponseSchema,
  ChainRemoveResponseSchema,
  ChainShowResponseSchema,
  ChainUnregisterResponseSchema,
  ConnectResponseSchema,
  type ControlService,
  DescribeProtocolResponseSchema,
  DisconnectResponseSchema,
  FindPeersResponseSchema,
  IdResponseSchema,
  ListAliasesResponseSchema,
  ListProtocolsResponseSchema,
  PeersResponseSchema,
  PingResponseSchema,
  RemoveAliasResponseSchema,
  ResolveResponseSchema,
  StatusResponseSchema,
  StopResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import { UsageError } from '../../primitives/errors.ts'
import { TIER_NAMES, type TierName } from '../../resolve/tier.ts'
import type { Session } from '../session.ts'
import { toMessage } from './control-codec.ts'
import { serveEvents } from './serve-events.ts'
import { serveSmallTask, serveTasks } from './serve-tasks.ts'
import { optionsOf, serveCall, serveTask } from './served-calls.ts'

/** What the control service does with each request. @param closing aborts when the node stops: what streams on and on ends then */
export function serviceOf(session: Session, closing: AbortSignal): ServiceImpl<typeof ControlService> {
  const streaming = ({ signal }: HandlerContext): AbortSignal => AbortSignal.any([signal, closing])
  const { aliases, chain, protocols } = session
  return {
    id: async () => toMessage(IdResponseSchema, await session.id()),
    status: async (request, context) => toMessage(StatusResponseSchema, await session.status(optionsOf(request, context))),
    activity: async (request, context) => toMessage(ActivityResponseSchema, await session.activity(optionsOf(request, context))),
    settings: async () => ({ json: JSON.stringify(await session.settings()) }),
    stop: async () => toMessage(StopResponseSchema, await session.stop()),
    peers: async (request, context) => {
      const peers = await session.peers({ ...optionsOf(request, context), all: request.all })
      return toMessage(PeersResponseSchema, { peers })
    },
    async *watchPeers(request, context) {
      for await (const peers of session.watchPeers({ all: request.all, signal: streaming(context) })) {
        yield toMessage(PeersResponseSchema, { peers })
      }
    },
    events: (request, { signal }) => serveEvents(session, request, signal),
    resolve: async (request, context) => {
      const tiers = request.tiers.length === 0 ? undefined : request.tiers.map(tierOf)
      const options = { ...optionsOf(request, context), tiers, maxAgeMs: ageOf(request.maxAgeMs) }
      return toMessage(ResolveResponseSchema, await session.resolve(request.peer, options))
    },
    sendTask: (requests, context) => serveTask(session, requests, context),
    sendTasks: (requests, context) => serveTasks(session, requests, streaming(context)),
    sendSmallTask: (task, context) => serveSmallTask(session, task, streaming(context)),
    connect: async (request, context) =>
      toMessage(ConnectResponseSchema, await session.connect(request.multiaddr, optionsOf(request, context))),
    disconnect: async (request, context) =>
      toMessage(DisconnectResponseSchema, await session.disconnect(request.peer, optionsOf(request, context))),
    ping: async (request, context) => toMessage(PingResponseSchema, await session.ping(request.peer, optionsOf(request, context))),
    async *bench({ peer, durationMs, count, concurrency, sizeBytes, ...request }, context) {
      const options = { ...optionsOf(request, context), signal: streaming(context) }
      for await (const state of session.bench(peer, { durationMs, count, concurrency, sizeBytes }, options)) {
        yield toMessage(BenchResponseSchema, state)
      }
    },
    listProtocols: async (request, context) =>
      toMessage(ListProtocolsResponseSchema, await protocols.list(request.peer, optionsOf(request, context))),
    describeProtocol: async (request, context) =>
      toMessage(DescribeProtocolResponseSchema, await protocols.describe(request.peer, request.protocolId, optionsOf(request, context))),
    call: (requests, context) => serveCall(session, requests, context),
    setAlias: async ({ alias, peer }) => toMessage(AliasSchema, await aliases.set(alias, peer)),
    removeAlias: async ({ alias }) => toMessage(RemoveAliasResponseSchema, await aliases.remove(alias)),
    findPeers: async ({ shortForm }) => toMessage(FindPeersResponseSchema, { peers: await aliases.find(shortForm) }),
    listAliases: async () => toMessage(ListAliasesResponseSchema, { aliases: await aliases.list() }),
    chainLookup: async (request, context) => toMessage(ChainRecordSchema, await chain.lookup(request.peer, optionsOf(request, context))),
    chainShow: async (request, context) => toMessage(ChainShowResponseSchema, await chain.show(request.peer, optionsOf(request, context))),
    chainList: async (request, context) =>
      toMessage(ChainListResponseSchema, await chain.list({ ...optionsOf(request, context), all: request.all })),
    chainPublish: async (request, context) =>
      toMessage(ChainPublishResponseSchema, await chain.publish(request.multiaddrs, optionsOf(request, context))),
    chainRemove: async (request, context) => toMessage(ChainRemoveResponseSchema, await chain.remove(optionsOf(request, context))),
    chainRegister: async (request, context) =>
      toMessage(ChainRegisterResponseSchema, await chain.register(classOf(request.class), optionsOf(request, context))),
    chainUnregister: async (request, context) =>
      toMessage(ChainUnregisterResponseSchema, await chain.unregister(optionsOf(request, context))),
  }
}

/** @throws UsageError */
function tierOf(name: string): TierName {
  const tier = TIER_NAMES.find((known) => known === name)
  if (tier == null) {
    throw new UsageError(`tiers: ${JSON.stringify(name)} is not valid; expected ${TIER_NAMES.join(', ')}`)
  }
  return tier
}

/** @throws UsageError */
function ageOf(maxAgeMs: number | undefined): number | undefined {
  if (maxAgeMs != null && !(maxAgeMs >= 0)) {
    throw new UsageError(`maxAgeMs: ${maxAgeMs} is not valid; expected 0 or more`)
  }
  return maxAgeMs
}

/** @throws UsageError */
function classOf(name: string): NodeClass {
  const nodeClass = NODE_CLASSES.find((known) => known === name)
  if (nodeClass == null) {
    throw new UsageError(`class: ${JSON.stringify(name)} is not valid; expected ${NODE_CLASSES.join(', ')}`)
  }
  return nodeClass
}
