import type { Logger } from '../../observe/logger.ts'
import { type ChainChange, NoSubnetError } from '../registry.ts'
import { Bell } from './bell.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import type { SubnetStorage } from './subnet-storage.ts'

export interface BlockWatchInit {
  chain: HypertensorChain
  storage: SubnetStorage
  log: Logger
}

/** Heads between two checks whether the subnet exists; while it does not, every head triggers one. */
const LOOKS_AFTER = 100

/** Follows only the blocks of a chain, at the cost of one header each. Ends when the signal aborts. */
export async function* blocks({ chain, storage, log }: BlockWatchInit, signal: AbortSignal): AsyncGenerator<ChainChange> {
  const { health } = chain
  const bell = new Bell()
  const stop = chain.heads.follow(() => bell.ring())
  try {
    let told: number | undefined
    for (let heads = 0; !signal.aborted; heads++) {
      if (heads % LOOKS_AFTER === 0 || !health.hasSubnet) {
        await lookForSubnet(chain, storage, signal).catch((error) => log.debug('the existence of the subnet cannot be checked', error))
      }
      const { block } = health
      if (block != null && block !== told) {
        told = block
        yield { block, peers: [] }
      }
      await bell.heard(signal)
    }
  } finally {
    stop()
  }
}

/** @throws ChainError; the signal's reason */
async function lookForSubnet({ health }: HypertensorChain, storage: SubnetStorage, signal: AbortSignal): Promise<void> {
  try {
    await storage.confirm(signal)
    health.foundSubnet(storage.subnetId)
  } catch (error) {
    if (!(error instanceof NoSubnetError)) {
      throw error
    }
    storage.forget()
    health.missedSubnet(storage.subnetId)
  }
}
