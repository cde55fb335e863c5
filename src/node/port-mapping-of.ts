import { networkInterfaces } from 'node:os'
import type { Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../observe/logger.ts'
import type { NetworkInterfaces } from './dial/dial-policy.ts'
import type { Settings } from './home/config.ts'
import type { PortMapper } from './port-mapping/port-mapper.ts'
import { notAsked, type PortMapping } from './port-mapping/port-mapping.ts'
import type { Services } from './stack/create-libp2p.ts'

interface OwnPortMappingInit {
  libp2p: Libp2p<Services>
  networkInterfaces: NetworkInterfaces
  log: Logger
  /** The reason for not asking the router. Undefined if the router is asked. */
  notAsked: PortMapping | undefined
}

/** Keeps a port mapping on the router while the node runs. The implementation is loaded only if needed. */
export class OwnPortMapping {
  readonly #init: OwnPortMappingInit
  #mapper: PortMapper | undefined
  #loading: Promise<void> | undefined
  #isStopped = false
  /** Called after each change of `mapped`, with the removed addresses. */
  onChange: (gone: Multiaddr[]) => void = () => undefined

  constructor(init: OwnPortMappingInit) {
    this.#init = init
  }

  get state(): PortMapping {
    return this.#init.notAsked ?? this.#mapper?.state ?? notAsked('unneeded', 'the router was not asked yet')
  }

  /** The mapped addresses, without `/p2p`. */
  mapped(): Multiaddr[] {
    return this.#mapper?.state.mappings.map(({ multiaddr }) => multiaddr) ?? []
  }

  /** Call once the node listens. Returns at once and never throws. */
  start(): void {
    if (this.#init.notAsked == null) {
      this.#loading ??= this.#load().catch((error) => this.#init.log.warn('the router is not asked for a port', error))
    }
  }

  /** Removes the mappings within one second. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#init.libp2p.removeEventListener('self:peer:update', this.#onOwnAddresses)
    await this.#loading
    await this.#mapper?.stop()
  }

  async #load(): Promise<void> {
    const { mapperOfRouter } = await import('./port-mapping/mapper-of-router.ts')
    const { libp2p, networkInterfaces, log } = this.#init
    if (this.#isStopped) {
      return
    }
    this.#mapper = mapperOfRouter({
      listening: () => libp2p.services.reach.transportManager.getAddrs(),
      networkInterfaces,
      onChange: (gone) => this.onChange(gone),
      log,
    })
    libp2p.addEventListener('self:peer:update', this.#onOwnAddresses)
    this.#mapper.start()
  }

  readonly #onOwnAddresses = (): void => this.#mapper?.look()
}

/** Undefined for a node that listens nowhere. */
export function portMappingOf(
  init: {
    settings: Pick<Settings, 'portMapping' | 'announce'>
    listen: string[]
    networkInterfaces?: NetworkInterfaces | undefined
    log: Logger
  },
  libp2p: Libp2p<Services>,
): OwnPortMapping | undefined {
  const { settings, listen, log } = init
  const reason = !settings.portMapping
    ? notAsked('off', 'by setting')
    : settings.announce.length > 0
      ? notAsked('unneeded', '--announce says where peers reach the node')
      : undefined
  return listen.length === 0
    ? undefined
    : new OwnPortMapping({
        libp2p,
        networkInterfaces: init.networkInterfaces ?? networkInterfaces,
        log: log.scoped('dial'),
        notAsked: reason,
      })
}
