import type { Logger } from '../observe/logger.ts'
import type { Settings } from './home/config.ts'
import { LocalPeers } from './stack/local-peers.ts'

/** None where mDNS is off, or nobody could dial this node. */
export function localPeersOf(
  { listen, settings, log }: { listen: string[]; settings: Pick<Settings, 'mdns'>; log: Logger },
  onFound: () => void,
): LocalPeers[] {
  return listen.length > 0 && settings.mdns ? [new LocalPeers({ log: log.scoped('dial'), onFound })] : []
}
