import { parsePeerMultiaddr } from '../primitives/address.ts'
import { Door, type DoorInit } from './admission/door.ts'
import { BOOTSTRAPS, type Settings } from './home/config.ts'

/** Options of {@link doorOf}. */
export interface DoorOfInit extends Pick<DoorInit, 'registry' | 'onRefusal' | 'log'> {
  settings: Pick<Settings, 'admission' | 'minClass' | 'subnetId' | 'admissionOnError' | 'admissionExempt' | 'bootstrap'>
}

/** Creates the door from the settings. Undefined with `admission: open`. */
export function doorOf({ settings, registry, onRefusal, log }: DoorOfInit): Door | undefined {
  const { admission, minClass, subnetId, admissionOnError: onError, admissionExempt, bootstrap } = settings
  if (admission === 'open') {
    return undefined
  }
  const exempt = admissionExempt.flatMap((entry) =>
    entry === BOOTSTRAPS ? bootstrap.map((address) => parsePeerMultiaddr(address).peerId.toString()) : [entry],
  )
  return new Door({ registry, subnetId, minClass, onError, exempt, log: log.scoped('admission'), onRefusal })
}
