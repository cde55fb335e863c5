import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import { isRelayed, kindOf } from '../primitives/address-kind.ts'
import type { Door } from './admission/door.ts'
import type { RefusedPeers } from './admission/refused-peers.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import type { Dialler } from './dial/dialler.ts'
import type { Whereabouts } from './dial/meeting.ts'
import { DirectUpgrades } from './direct/direct-upgrades.ts'
import { HolePuncher } from './direct/hole-puncher.ts'
import { PunchPorts } from './direct/punch-ports.ts'
import { SurplusConnections } from './direct/surplus-connections.ts'
import type { RelayService } from './network/relay-service.ts'
import type { NodeObserver } from './node-observer.ts'
import type { OwnReachability } from './reachability/own-reachability.ts'
import type { Services } from './stack/create-libp2p.ts'
import type { Liveness } from './stack/liveness.ts'
import { Relaying } from './stack/relaying.ts'

export interface RelayingParts {
  libp2p: Libp2p<Services>
  dialler: Dialler
  policy: DialPolicy
  door: Door | undefined
  refused: RefusedPeers
  liveness: Liveness
  reachability: OwnReachability | undefined
  observer: NodeObserver
  acquaintances(count: number): Whereabouts[]
}

/** Uses relays, serves as a relay, and upgrades relayed connections to direct ones. */
export interface RelaysOfNode {
  /** Call before libp2p starts. */
  follow(): void
  /** Call once the node listens. Does not block. */
  start(): void
  stop(): void
}

/** A client-only node just dials over relays. */
export function relayingOf(
  { settings, listen, log }: { settings: { relayService: RelayService }; listen: string[]; log: Logger },
  { libp2p, dialler, policy, door, refused, liveness, reachability, observer, acquaintances }: RelayingParts,
): RelaysOfNode {
  const dialLog = log.scoped('dial')
  const relaying = new Relaying({
    libp2p,
    relays: libp2p.services.relays,
    server: libp2p.services.relayServer,
    service: settings.relayService,
    reachability: reachability?.own,
    acquaintances,
    log: dialLog,
  })
  const admits = async (peerId: PeerId, signal: AbortSignal): Promise<boolean> =>
    refused.mayDial(peerId) && (door == null || (await door.check(peerId, signal)).admitted)
  const { onUpgrade } = observer
  const surplus = new SurplusConnections({ libp2p, inDoubt: (connection) => liveness.inDoubt(connection), log: dialLog })
  const transports = libp2p.services.dial.transportManager
  const puncher = new HolePuncher({
    ...{ libp2p, transports, policy, log: dialLog },
    ports: new PunchPorts({
      ...{ libp2p, transports },
      isOutside: (address) => kindOf(address) === 'public',
      letGo: (connection) => surplus.add(connection),
    }),
    admits: (peerId) => door?.refusalOf(peerId) == null,
    isDirect: (peerId) => dialler.connectionsTo(peerId).some(({ remoteAddr }) => !isRelayed(remoteAddr)),
  })
  const closer =
    listen.length === 0 ? [] : [puncher, new DirectUpgrades({ libp2p, dialler, policy, puncher, admits, onUpgrade, log: dialLog }), surplus]
  return {
    follow: () => {
      relaying.follow()
      for (const each of closer) {
        each.start()
      }
    },
    start: () => relaying.start(),
    stop: () => {
      relaying.stop()
      for (const each of closer) {
        each.stop()
      }
    },
  }
}
