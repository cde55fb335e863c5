import type { Logger } from '../observe/logger.ts'
import type { Settings } from './home/config.ts'
import { LocalPeers } from './stack/local-peers.ts'

/** Creates the mDNS discovery. Empty if mDNS is off or the node listens nowhere. */
export function localPeersOf(
  { listen, settings, log }: { listen: string[]; settings: Pick<Settings, 'mdns'>; log: Logger },
  onFound: () => void,
): LocalPeers[] {
  return listen.length > 0 && settings.mdns ? [new LocalPeers({ log: log.scoped('dial'), onFound })] : []
}
