import type { LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { yamux } from '@chainsafe/libp2p-yamux'
import { type GossipSub, gossipsub, StrictSign } from '@libp2p/gossipsub'
import type { ConnectionGater, Libp2p, MultiaddrConnection, PeerId, PrivateKey } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p as createStack, type Libp2pOptions } from 'libp2p'
import type { Blame } from '../../gossip/blame.ts'
import { heartbeatTopic } from '../../gossip/heartbeat.ts'
import { templateMessageIds } from '../../gossip/message-id.ts'
import { PEER_STATE_TOPIC } from '../../gossip/peer-state.ts'
import type { Logger } from '../../observe/logger.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { BoundedDatastore } from '../adapters/bounded-datastore.ts'
import { boundedDht } from '../adapters/bounded-dht.ts'
import { forCalls } from '../adapters/call-yamux.ts'
import { withGossipTwo } from '../adapters/gossip-two.ts'
import { guarded } from '../adapters/guarded-components.ts'
import { guardedTransport } from '../adapters/guarded-transport.ts'
import { identifyForAllKeys, identifyPushForAllKeys } from '../adapters/identify-all-keys.ts'
import type { LiveRecords } from '../adapters/live-records.ts'
import { noiseForAllKeys } from '../adapters/noise-handshake.ts'
import { onOpenConnections } from '../adapters/open-connections.ts'
import { quic } from '../adapters/quic/quic-transport.ts'
import { readyKey } from '../adapters/ready-key.ts'
import { tellingRefusals } from '../adapters/refused-security.ts'
import { RelayTransport } from '../adapters/relay-transport.ts'
import { withReopenedStreams } from '../adapters/reopened-streams.ts'
import { sendOwnRecord } from '../adapters/sender-record.ts'
import { sparing } from '../adapters/sparing-yamux.ts'
import { inTurns } from '../adapters/stream-turns.ts'
import { explainingTcp } from '../adapters/tcp-dial.ts'
import type { Door } from '../admission/door.ts'
import type { RefusedPeers } from '../admission/refused-peers.ts'
import { BackgroundBudget, UNBOUNDED } from '../dial/dial-budget.ts'
import type { DialOutcome } from '../dial/dial-outcome.ts'
import { DialPolicy, isWorthNoting, type NetworkInterfaces } from '../dial/dial-policy.ts'
import type { DialComponents } from '../dial/dialler.ts'
import { kadProtocolOf, type Network, NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'
import { dialBack } from '../reachability/back-dialler.ts'
import type { DialledBack } from '../reachability/dial-back-server.ts'
import { withoutOldScores } from './gossip-scores.ts'
import type { Liveness } from './liveness.ts'
import type { LocalPeers } from './local-peers.ts'
import { announceFilter, type OwnAddressComponents, OwnAddresses } from './own-addresses.ts'
import type { Places } from './places.ts'
import { RELAY_BOUNDS, type RelayBounds, RelayServer } from './relay-server.ts'
import { silentLogger } from './silent-logger.ts'
import type { StackMetrics } from './stack-metrics.ts'

export type Services = {
  identify: unknown
  ping: Ping
  dht: KadDHT
  dial: DialComponents
  addresses: unknown
  /** Reservations of this node with relays. */
  relays: RelayTransport
  /** The relay service for other peers. Only on a node that serves. */
  relayServer?: RelayServer
  reach: ReachComponents
  localPeers?: unknown
  pubsub?: GossipSub
}

/** The libp2p components that `OwnReachability` needs. */
export interface ReachComponents extends Pick<OwnAddressComponents, 'addressManager' | 'transportManager'> {
  /** Dials a peer back on a connection hidden from this stack. */
  dialBack(address: Multiaddr, nonce: bigint, signal: AbortSignal): Promise<DialledBack>
}

/** A transport factory as accepted by libp2p's `createLibp2p`. */
export type StackTransport = NonNullable<Libp2pOptions['transports']>[number]

export interface StackInit {
  privateKey: PrivateKey
  /** Listen addresses. A node that listens joins gossip and serves the DHT. Without listen addresses the node is client-only. */
  listen: string[]
  announce: string[]
  /** Transports besides TCP. @default none */
  transports?: readonly StackTransport[] | undefined
  subnetId: number
  /** @default native */
  network?: Network | undefined
  /** @default the protocol of the network */
  kadProtocol: string | undefined
  gossipIpColocationWeight: number
  agent: string
  /** @default the interfaces of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  /** Decides which peers are admitted. Without a door, all peers are. */
  door?: Door | undefined
  /** Limits dials to addresses named by others. @default no limits, for direct use of a stack */
  policy?: DialPolicy | undefined
  /** Lowers the gossip score of offending peers. */
  blame?: Blame | undefined
  /** Peers with a refusal in either direction. They are not dialled on the node's own initiative before their delay has passed. */
  refused?: RefusedPeers | undefined
  /** Allocates the connection places. Without it, libp2p's own limits apply. */
  places?: Places | undefined
  /** Limits of the relay service. @default 128 reservations, and 16 MiB and 10 minutes per circuit */
  relay?: RelayBounds | undefined
  /** Closes dead connections. Without it, they last until TCP gives up. */
  liveness?: Liveness | undefined
  /** Stores the signed records of connected peers. */
  liveRecords?: LiveRecords | undefined
  /** Resolves host names in addresses. @default Node's `dns.lookup` */
  lookup?: LookupFunction | undefined
  /** Resolves `/dnsaddr` addresses. @default Node's own resolver */
  dns?: DialComponents['dns']
  /** Discovers peers of the local network. */
  localPeers?: LocalPeers | undefined
  /** Called with the outcome of each dial. */
  onDialled?: ((outcome: DialOutcome) => void) | undefined
  /** Receives the metrics of the stack. @default no metrics */
  metrics?: StackMetrics | undefined
  log?: Logger | undefined
}

/** Flow-control window of a stream. With yamux's default of 16 MiB, a paused stream exceeds libp2p's 4 MiB read buffer and is reset. */
const MAX_STREAM_WINDOW_BYTES = 1 << 20
/** Maximum inbound streams before a connection is set up. With libp2p's default of 10, the eleventh call of a burst ends all of them. */
const MAX_EARLY_STREAMS = 256
/**
 * Limits for new connections per second from one address, and for pending connections without `places`. Shells may open a hundred at once
 * (`xargs -P`).
 */
const CONNECTIONS_PER_SECOND = 200
const MAX_PENDING_CONNECTIONS = 200
const MAX_PING_STREAMS = 32
/**
 * Maximum size of a gossip RPC, in bytes. Gossipsub closes the stream of a peer that exceeds it, and ignores that peer from then on. An
 * honest peer relays messages of others: Go accepts up to 1 MiB, more than any heartbeat.
 */
const MAX_GOSSIP_BYTES = 1 << 20
/**
 * Delay of identify push after a change of addresses or protocols, in milliseconds. libp2p's default of one second would keep a stopped
 * process alive.
 */
const PUSH_DEBOUNCE_MS = 100
/**
 * How long a negative score outlives its connection, in milliseconds. The negative score of a connected peer decays in about the same time.
 */
const RETAIN_SCORE_MS = 120_000
const FIRST_LOOK_AROUND_MS = 50
const IDENTIFY_PROTOCOL = '/ipfs/id/1.0.0'

/** Creates the libp2p stack of a node without starting it. */
export async function createLibp2p(init: StackInit): Promise<Libp2p<Services>> {
  const serves = init.listen.length > 0
  const { door, places, refused, liveness, localPeers } = init
  const own = new OwnAddresses(init.networkInterfaces ?? networkInterfaces)
  const datastore = new BoundedDatastore()
  const behindDoor = <C extends { registrar: object }, Service>(factory: (components: C) => Service): ((components: C) => Service) =>
    door == null ? factory : guarded(factory, (peerId) => door.refusalOf(peerId) == null)
  const { policy = new DialPolicy({ allowPrivate: true }) } = init
  const mayDial = (peerId: PeerId): boolean => refused?.mayDial(peerId) !== false && door?.isRefusing(peerId) !== true
  const background = init.policy == null ? UNBOUNDED : new BackgroundBudget(serves, Date.now, mayDial)
  const onRefused = (peerId: PeerId, reason: string): void => refused?.refused(peerId, 'them', reason)
  const notLetIn = (why: unknown): void => init.log?.debug('a peer was not let in', why)
  const guard = { policy, background, isFull: (): boolean => places?.isOutOfDescriptors === true, onRefused, onDialled: init.onDialled }
  const relays = new RelayTransport({ ...guard, serves })
  const self = peerIdFromPrivateKey(init.privateKey).toString()
  const ownOverRelays = (): Multiaddr[] => relays.addresses.map((address) => address.encapsulate(`/p2p/${self}`))
  const relayServer = new RelayServer({
    bounds: init.relay ?? RELAY_BOUNDS,
    kadProtocol: kadProtocolOf(init),
    admits: door == null ? undefined : async (peerId) => (await door.check(peerId)).admitted,
  })
  const muxer = forCalls(
    sparing(inTurns(yamux({ maxEarlyStreams: MAX_EARLY_STREAMS, streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES } }))),
  )
  const transports: StackTransport[] = [
    explainingTcp({ ...guard, lookup: init.lookup }),
    quic({ ...guard, lookup: init.lookup, watching: liveness == null ? undefined : (make) => liveness.watching(make) }) as StackTransport,
    ...(init.transports ?? []).map((make) => guardedTransport(make, guard)),
  ]
  const privateKey = readyKey(init.privateKey)
  const options: Libp2pOptions<Services> = {
    start: false,
    privateKey,
    ...(process.env.DEBUG == null && { logger: silentLogger }),
    ...init.metrics?.libp2p,
    datastore,
    nodeInfo: { userAgent: init.agent },
    addresses: { listen: init.listen, announce: init.announce, announceFilter: announceFilter(init.announce, ownOverRelays) },
    transports: [...transports.map((transport) => own.transport(tellingRefusals(transport, notLetIn))), relays.factory as StackTransport],
    connectionEncrypters: [NOISE_PROTOCOL_ID, TEMPLATE_NOISE_PROTOCOL_ID].map((protocol) =>
      noiseForAllKeys({ protocol, onFailed: notLetIn }),
    ),
    streamMuxers: [liveness?.watching(muxer) ?? muxer],
    ...(init.dns == null ? {} : { dns: init.dns }),
    connectionManager: {
      inboundConnectionThreshold: CONNECTIONS_PER_SECOND,
      ...(places?.limits ?? { maxIncomingPendingConnections: MAX_PENDING_CONNECTIONS }),
      // the dialler resolves names of every kind, and limits the resulting dials
      resolvers: {},
    },
    // `Liveness` detects more at lower cost: libp2p's monitor opens a stream per ping, and closes a peer that is busy for 5 s
    connectionMonitor: { enabled: false },
    connectionGater: {
      ...(door == null ? {} : waitAt(door)),
      ...places?.gater,
      ...relayServer.gater,
      // accepts only calls over relays with a reservation
      denyInboundRelayedConnection: async (relay) => !relays.has(relay),
      // addresses of peers that libp2p may store and pass on, from any source
      filterMultiaddrForPeer: async (peerId, address) => isWorthNoting(peerId, address),
    },
    services: {
      identify: behindDoor(identifyForAllKeys(init.liveRecords)),
      // libp2p's default is one, and a closing stream still counts
      ping: behindDoor(onOpenConnections(ping({ maxInboundStreams: MAX_PING_STREAMS, maxOutboundStreams: MAX_PING_STREAMS }))),
      dht: behindDoor(
        boundedDht(
          kadDHT({
            clientMode: !serves,
            protocol: kadProtocolOf(init),
            // a subnet may live on loopback or in a LAN, so private addresses are kept
            peerInfoMapper: passthroughMapper,
            // walks wait for the initial self-query, which libp2p runs after a second by default
            initialQuerySelfInterval: FIRST_LOOK_AROUND_MS,
          }),
          { policy, background, mayDial },
        ),
      ),
      dial: ({ connectionManager, transportManager, dns, logger }) => ({ connectionManager, transportManager, dns, logger }),
      addresses: (components) => own.service(components),
      relays: () => relays,
      reach: ({ addressManager, transportManager }) => ({
        addressManager,
        transportManager,
        dialBack: async (...args) => dialBack({ privateKey, transports }, ...args),
      }),
      ...(localPeers == null ? {} : { localPeers: (components: MulticastDNSComponents) => localPeers.service(components) }),
      ...(serves
        ? {
            relayServer: behindDoor((components) => relayServer.service(components)),
            identifyPush: behindDoor(identifyPushForAllKeys({ debounce: PUSH_DEBOUNCE_MS }, init.liveRecords)),
            pubsub: behindDoor(
              withReopenedStreams(withoutOldScores(withGossipTwo(gossip(init), init.network === 'template' ? sendOwnRecord : undefined))),
            ),
          }
        : {}),
    },
  }
  const libp2p = await createStack(options)
  datastore.follow(libp2p)
  libp2p.addEventListener('peer:identify', ({ detail }) => policy.noteOwnWord(detail))
  return libp2p
}

/**
 * Starts a stack. A client-only node does not answer identify: it may share its identity with a running node of the same home. Its short
 * list of protocols would replace that node's list in the peer stores of others.
 */
export async function startLibp2p(libp2p: Libp2p<Services>, serves: boolean): Promise<void> {
  await libp2p.start()
  if (!serves) {
    await libp2p.unhandle(IDENTIFY_PROTOCOL)
  }
}

/** Time limit for stopping a stack, in milliseconds. libp2p gives each connection one second to close. */
const STOP_MS = 1_500

/** Stops a stack within 1.5 s. @throws Error if it takes longer */
export async function stopLibp2p(libp2p: Libp2p<Services>): Promise<void> {
  // libp2p's close timers are unref'd, so this deadline keeps the process alive
  using deadline = new Deadline(STOP_MS).ref()
  await deadline.race(Promise.resolve(libp2p.stop()), () => new Error('libp2p did not stop in time'))
}

function gossip({ subnetId, network, gossipIpColocationWeight, blame, metrics }: StackInit): ReturnType<typeof gossipsub> {
  const topics = gossipTopics({ subnetId, network })
  return gossipsub({
    allowPublishToZeroTopicPeers: true,
    // signed messages prove their author, which `Blame` relies on
    globalSignaturePolicy: StrictSign,
    maxInboundDataLength: MAX_GOSSIP_BYTES,
    // heartbeats are small and rare: gossip to many neighbours, so all leaves of a star hear each other
    Dlazy: 16,
    // gossip each heartbeat only once and to no further peers: more gossip would cost more than the heartbeat
    mcacheGossip: 1,
    gossipFactor: 0,
    allowedTopics: topics,
    ...metrics?.gossipsub(topics),
    ...(network === 'template' ? { ...TEMPLATE_MESH, ...templateMessageIds(new Set([PEER_STATE_TOPIC])) } : {}),
    scoreParams: {
      appSpecificScore: (peerId) => blame?.scoreOf(peerId) ?? 0,
      // one bad message costs its author as much as a wrong signature costs its sender
      appSpecificWeight: 10,
      retainScore: RETAIN_SCORE_MS,
      IPColocationFactorWeight: gossipIpColocationWeight,
      IPColocationFactorWhitelist: new Set(['127.0.0.1', '::1']),
      topics: Object.fromEntries(topics.map((topic) => [topic, TOPIC_SCORES])),
    },
  })
}

/**
 * Mesh sizes for a template network. A template node never sends GRAFT, because its patch of py-libp2p skips 2.0 peers. A node outside
 * every mesh cannot publish. This node therefore grafts more peers than gossipsub's default of six.
 */
const TEMPLATE_MESH = { D: 24, Dlo: 24, Dhi: 32 }

/** Scores for low traffic: silence is not penalised, but an invalid message is. */
const TOPIC_SCORES = {
  topicWeight: 1,
  timeInMeshWeight: 0.01,
  timeInMeshQuantum: 1_000,
  timeInMeshCap: 100,
  firstMessageDeliveriesWeight: 0.1,
  firstMessageDeliveriesDecay: 0.9,
  firstMessageDeliveriesCap: 10,
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.5,
  meshMessageDeliveriesCap: 1,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 1_000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.5,
  invalidMessageDeliveriesWeight: -10,
  invalidMessageDeliveriesDecay: 0.9,
}

/** The gossip topics of a node. */
export function gossipTopics({ subnetId, network }: Pick<StackInit, 'subnetId' | 'network'>): string[] {
  return [heartbeatTopic(subnetId), ...(network === 'template' ? [PEER_STATE_TOPIC] : [])]
}

/**
 * Checks a peer on the chain as soon as the handshake has proven its ID, before any further data is read. The connection itself is kept: a
 * refused peer gets one stream, which tells it the reason, and all others are reset.
 */
function waitAt(door: Door): ConnectionGater {
  const check = async (peerId: PeerId, connection: MultiaddrConnection): Promise<boolean> => {
    // a closed connection releases its place without waiting for the chain
    const gone = new AbortController()
    connection.addEventListener('close', () => gone.abort(new Error('the connection was closed')), { once: true })
    await door.check(peerId, gone.signal)
    return false
  }
  return { denyInboundEncryptedConnection: check, denyOutboundEncryptedConnection: check }
}
