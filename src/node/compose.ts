import type { PeerId, PrivateKey } from '@libp2p/interface'
import type { ChainRegistry } from '../chain/registry.ts'
import { AddressBook } from '../gossip/address-book.ts'
import { Blame } from '../gossip/blame.ts'
import { HeartbeatService } from '../gossip/heartbeat.ts'
import { openPeerRecord } from '../gossip/peer-record.ts'
import { type PeerStateInit, PeerStateService } from '../gossip/peer-state.ts'
import type { Logger } from '../observe/logger.ts'
import { parsePeerMultiaddr } from '../primitives/address.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import { ByteBudget, DEFAULT_LIMITS, streamedLimit } from '../protocol/api/limits.ts'
import { AddressProtocol } from '../protocol/builtin/address.ts'
import { AdmissionProtocol } from '../protocol/builtin/admission.ts'
import { DagSyncProtocol } from '../protocol/builtin/dag-sync.ts'
import { ReflectionProtocol } from '../protocol/builtin/reflection.ts'
import type { StreamingTaskHandler, TaskHandler } from '../protocol/builtin/task.ts'
import { Resolver } from '../resolve/resolver.ts'
import type { Tier } from '../resolve/tier.ts'
import { ChainTier } from '../resolve/tiers/chain.ts'
import { GossipTier } from '../resolve/tiers/gossip.ts'
import { LocalTier } from '../resolve/tiers/local.ts'
import { NeighboursTier } from '../resolve/tiers/neighbours.ts'
import { askForRecord } from './adapters/identify-all-keys.ts'
import { LiveRecords } from './adapters/live-records.ts'
import { addressDirectory } from './address-directory.ts'
import { Doorkeeper } from './admission/doorkeeper.ts'
import { OwnRegistration } from './admission/own-registration.ts'
import { RefusalWatch } from './admission/refusal-watch.ts'
import { type RedialDelays, RefusedPeers } from './admission/refused-peers.ts'
import { acquaintances, bookSource, keepDialled, type Note, refutedIn } from './book-answers.ts'
import { bootnodesOf, chainSource, ownLedgerHint } from './chain-answers.ts'
import { ChainFollower } from './chain-follower.ts'
import { Bootstrap } from './dial/bootstrap.ts'
import { DialPolicy, type NetworkInterfaces } from './dial/dial-policy.ts'
import { Dialler } from './dial/dialler.ts'
import { doorOf } from './door-of.ts'
import { addGauges } from './gauges.ts'
import { Aliases } from './home/aliases.ts'
import type { Settings } from './home/config.ts'
import type { Home } from './home/home.ts'
import { openHomeDatabase } from './home/home-database.ts'
import { localPeersOf } from './local-peers-of.ts'
import { neighbourSource, neighboursBudgetMs } from './neighbour-answers.ts'
import { OtherNetwork } from './network/other-network.ts'
import { NodeObserver } from './node-observer.ts'
import { openRegistry } from './open-registry.ts'
import { peerList } from './peer-list.ts'
import { portMappingOf } from './port-mapping-of.ts'
import { reachabilityOf } from './reachability-of.ts'
import { relayingOf } from './relaying-of.ts'
import { Speakers } from './speakers.ts'
import { createLibp2p, gossipTopics, type StackTransport } from './stack/create-libp2p.ts'
import { Liveness } from './stack/liveness.ts'
import { Places } from './stack/places.ts'
import { SharedKeys } from './stack/shared-keys.ts'
import type { NodeMetrics } from './stack/stack-metrics.ts'
import { SubnetNode } from './subnet-node.ts'

export type NodeSettings = Pick<
  Settings,
  | 'bootstrap'
  | 'subnetId'
  | 'network'
  | 'chain'
  | 'announce'
  | 'mdns'
  | 'portMapping'
  | 'heartbeatInterval'
  | 'heartbeatBudget'
  | 'allowPrivate'
  | 'kadProtocol'
  | 'gossipIpColocationWeight'
  | 'maxConnectionsPerIp'
  | 'relayService'
  | 'relayReservations'
  | 'relayBytes'
  | 'relayDuration'
  | 'maxFrameBytes'
  | 'reflection'
  | 'admission'
  | 'minClass'
  | 'admissionOnError'
  | 'admissionExempt'
  | 'allowPeers'
  | 'denyPeers'
>

export interface ComposeInit {
  home: Home
  settings: NodeSettings
  privateKey: PrivateKey
  /** Listen addresses. Empty for a client-only node. */
  listen: string[]
  /** Answers tasks. Without a handler, tasks are rejected. */
  handler?: TaskHandler | StreamingTaskHandler | undefined
  /** Wrap every call and every request. The first interceptor is the outermost. */
  interceptors?: readonly Interceptor[] | undefined
  /** Additional tiers, besides the built-in ones. */
  tiers?: readonly Tier[] | undefined
  /** Transports besides TCP. @default none */
  transports?: readonly StackTransport[] | undefined
  /** Replaces the registry of the configured chain. Closed with the node. */
  registry?: ChainRegistry | undefined
  /** Agent version of the node, for example `subnet-cli/1.0.0`. */
  agent: string
  /** @default the interfaces of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  /** @default a `Liveness` that ticks every second */
  liveness?: Liveness | undefined
  /** Delays before this node redials a peer after a refusal by either side. */
  redialDelays?: RedialDelays | undefined
  log: Logger
  /** Receives the node's metrics. @default no metrics */
  metrics?: NodeMetrics | undefined
  /** Releases the resources of the node's owner after the node has stopped. */
  release?: (() => Promise<void>) | undefined
}

/** Composes a node from its parts. Only this function connects tiers, protocols, gossip and chain. */
export async function composeNode(init: ComposeInit): Promise<SubnetNode> {
  const { home, settings, privateKey, log, metrics } = init
  const observer = new NodeObserver(log, metrics, () => node.protocols)
  const serves = init.listen.length > 0
  const targets = settings.bootstrap.map(parsePeerMultiaddr)
  // released if a later step fails
  await using opened = new AsyncDisposableStack()
  const registry = init.registry ?? opened.adopt(await openRegistry(init), async (own) => own.close())
  const database = opened.adopt(await openHomeDatabase(home), (own) => own.close())
  const book = new AddressBook(database, {
    onWriteFailure: (error) => log.warn('cannot write the address book: what peers tell is forgotten until this is fixed', error),
  })
  const aliases = new Aliases(database, book)
  const writes = new Set<Promise<unknown>>()
  // writes to the book are optional: no caller waits for a locked book, and a failed write is only logged
  const note: Note = (write) => {
    const done = write().catch((error) =>
      // the book reports errors of its file itself
      error instanceof DatabaseError
        ? log.debug('the address book was not written', error)
        : log.warn('the address book was not written', error),
    )
    writes.add(done)
    void done.finally(() => writes.delete(done))
  }
  const door = doorOf({ ...init, registry, onRefusal: observer.onRefusal })
  const { listen, transports, agent, networkInterfaces, liveness = new Liveness() } = init
  const sharedKeys = new SharedKeys({ log, ask: askForRecord })
  const liveRecords = new LiveRecords((connection, record) => (serves ? sharedKeys.saw(connection, record) : undefined))
  const policy = new DialPolicy({ allowPrivate: settings.allowPrivate, networkInterfaces })
  const blame = new Blame()
  const places = new Places({
    maxPerIp: settings.maxConnectionsPerIp,
    onLimit: observer.onPlaceLimit,
    keeps: () => {
      const known = new Set([...targets.map(({ peerId }) => peerId.toString()), ...meshOf(libp2p.services.pubsub, settings)])
      return (peerId) =>
        known.has(peerId.toString()) || libp2p.services.relays.has(peerId) || (door != null && door.refusalOf(peerId) == null)
    },
  })
  const refused = new RefusedPeers({
    log: log.scoped('admission'),
    delays: init.redialDelays,
    isBootstrap: (peer) => targets.some(({ peerId }) => peerId.toString() === peer),
  })
  const localPeers = localPeersOf(init, () => (libp2p.getPeers().length === 0 ? bootstrap.retryNow() : undefined))
  const stack = {
    privateKey,
    listen,
    transports,
    agent,
    networkInterfaces,
    door,
    policy,
    blame,
    refused,
    places,
    liveness,
    liveRecords,
    relay: { reservations: settings.relayReservations, bytes: settings.relayBytes, durationMs: settings.relayDuration },
    localPeers: localPeers[0],
    onDialled: observer.onDial,
    metrics: metrics?.stack,
    log: log.scoped('admission'),
  }
  const libp2p = await createLibp2p({ ...settings, ...stack })
  places.follow(libp2p)
  liveness.follow(libp2p)
  liveRecords.follow(libp2p)
  sharedKeys.follow(libp2p)
  const namedOver = (peerId: PeerId): NamedOver => policy.namedOver(libp2p.getConnections(peerId))
  const dialler = new Dialler(libp2p.services.dial, {
    onGiven: (connection) => keepDialled({ book, note }, connection, 'dialled', 'trusted'),
  })
  const doorkeeper = door == null ? undefined : new Doorkeeper({ libp2p, door, registry, refused, log: log.scoped('admission') })
  const bootstrap = new Bootstrap({
    libp2p,
    dialler,
    targets: targets.filter(({ peerId }) => !peerId.equals(libp2p.peerId)),
    acquaintances: (count) =>
      [localPeers.flatMap((each) => each.some(count)), acquaintances(book, policy, libp2p.peerId, count)].flat().slice(0, count),
    bootnodes: async (count, signal) =>
      targets.length > 0 ? [] : bootnodesOf({ registry, policy, self: libp2p.peerId, log: log.scoped('chain') }, count, signal),
    ownRefusalOf: async (peerId, signal) => doorkeeper?.refusalOf(peerId, signal),
    refusalOf: async (connection) => node.refusalOf(connection),
    refused,
    serves,
    log: log.scoped('dial'),
  })
  const portMapping = portMappingOf(init, libp2p)
  const reachability = reachabilityOf(init, { libp2p, portMapping, policy, door, protocolsOf: async (...of) => node.protocolsOf(...of) })
  const relaying = relayingOf(init, {
    ...{ libp2p, dialler, policy, door, refused, liveness, reachability, observer },
    acquaintances: (count) => acquaintances(book, policy, libp2p.peerId, count),
  })
  relaying.follow()
  const speakers = new Speakers()
  const otherNetwork = new OtherNetwork(settings.network, { serves, log })
  const isStranger = async (peerId: PeerId): Promise<boolean> => door != null && !(await door.check(peerId)).admitted
  const neighbours = neighbourSource({
    libp2p,
    bootstrap,
    liveness,
    book,
    note,
    speakers,
    namedOver,
    isStranger,
    addresses: () => addresses,
  })
  const resolver = new Resolver(
    [
      ...localPeers.map((source) => new LocalTier(source)),
      new GossipTier(bookSource(book)),
      new NeighboursTier(neighbours, { budgetMs: neighboursBudgetMs(serves) }),
      new ChainTier(chainSource(registry, { book, note })),
      ...(init.tiers ?? []),
    ],
    {
      refuted: refutedIn({ book, note }),
      ...observer.resolutions,
      hint: () => otherNetwork.hint ?? (init.registry == null ? ownLedgerHint(settings.chain, home) : undefined),
      refusal: () => (libp2p.getPeers().length === 0 ? bootstrap.refusals[0] : undefined),
    },
  )
  const { pubsub } = libp2p.services
  const heard: Omit<PeerStateInit, 'pubsub' | 'self'> = {
    book,
    blame,
    log: log.scoped('gossip'),
    namedOver,
    admits: async (peerId) => !(await isStranger(peerId)),
    onHeartbeat: (event) => node.emit('heartbeat', event),
  }
  const heartbeats =
    pubsub == null
      ? undefined
      : new HeartbeatService({
          ...heard,
          pubsub,
          privateKey,
          subnetId: settings.subnetId,
          intervalMs: settings.heartbeatInterval,
          bytesPerSecond: settings.heartbeatBudget,
          onOutcome: (outcome) => observer.instruments.onHeartbeat(outcome),
          addresses: () => libp2p.getMultiaddrs(),
          otherClock: () => {
            const { clockOffsetMs: offsetMs, endpoint } = registry.state()
            return offsetMs == null ? undefined : { offsetMs, name: `the blocks of chain ${endpoint}` }
          },
          recordElsewhere: async () => {
            const neighbours = speakers.list()
            const neighbour = neighbours[Math.floor(Math.random() * neighbours.length)]
            const answer = neighbour == null ? undefined : await addresses.ask(neighbour, libp2p.peerId, { hops: 1 })
            return answer == null ? undefined : openPeerRecord(answer.envelope)
          },
        })
  const peerStates =
    pubsub == null || settings.network !== 'template'
      ? undefined
      : new PeerStateService({ ...heard, pubsub, self: libp2p.peerId, isConnected: (peerId) => libp2p.getConnections(peerId).length > 0 })
  const limits = { ...DEFAULT_LIMITS, maxFrameBytes: settings.maxFrameBytes, maxStreamedBytes: streamedLimit(settings.maxFrameBytes) }
  const node: SubnetNode = new SubnetNode({
    libp2p,
    dialler,
    policy,
    resolver,
    bootstrap,
    book,
    aliases,
    registry,
    heartbeats,
    peerStates,
    limits,
    handler: init.handler,
    budget: new ByteBudget(Math.max(limits.maxBytesInFlight, limits.maxFrameBytes)),
    door,
    places,
    reachability,
    portMapping,
    liveness,
    otherNetwork,
    sharedKeys,
    relaying,
    doorkeeper,
    refused,
    ownRegistration: door == null ? new OwnRegistration({ registry, self: libp2p.peerId, refused }) : undefined,
    refusalWatch: new RefusalWatch({ libp2p, ask: async (connection) => node.refusalOf(connection) }),
    chainFollower: serves && door == null && registry.makesBlocks ? new ChainFollower({ registry, log: log.scoped('chain') }) : undefined,
    interceptors: [peerList({ allow: settings.allowPeers, deny: settings.denyPeers }) ?? [], init.interceptors ?? []].flat(),
    log,
    ...observer.parts,
    serves,
    note,
    release: async () => {
      await Promise.all(writes)
      database.close()
      await init.release?.()
    },
  })
  const addresses: AddressProtocol = new AddressProtocol(
    node,
    addressDirectory({ self: libp2p.peerId, book, liveRecords, heartbeats, speakers }),
  )
  new DagSyncProtocol(node, libp2p.peerId.toString())
  if (door != null) {
    new AdmissionProtocol(node, (peerId) => door.refusalOf(peerId))
  }
  if (settings.reflection) {
    new ReflectionProtocol(node)
  }
  speakers.follow(libp2p, addresses.id)
  if (metrics != null) {
    addGauges(metrics, { node, libp2p, door, mesh: () => meshOf(libp2p.services.pubsub, settings) })
  }
  // the node owns these resources from here on
  opened.move()
  return node
}

/**
 * The peers of the gossip meshes: at most 12, or 32 in each of two meshes in a template network. Mesh peers therefore cannot occupy all
 * places.
 */
function meshOf(pubsub: object | undefined, settings: NodeSettings): string[] {
  // a public method that the type omits
  const { getMeshPeers } = (pubsub ?? {}) as { getMeshPeers?: (topic: string) => string[] }
  return gossipTopics(settings).flatMap((topic) => getMeshPeers?.call(pubsub, topic) ?? [])
}
