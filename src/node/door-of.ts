import { parsePeerMultiaddr } from '../primitives/address.ts'
import { Door, type DoorInit } from './admission/door.ts'
import { BOOTSTRAPS, type Settings } from './home/config.ts'

/** What a node's door is made of. */
export interface DoorOfInit extends Pick<DoorInit, 'registry' | 'onRefusal' | 'log'> {
  settings: Pick<Settings, 'admission' | 'minClass' | 'subnetId' | 'admissionOnError' | 'admissionExempt' | 'bootstrap'>
}

/** The door as the settings want it; undefined where everybody may come in. */
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
