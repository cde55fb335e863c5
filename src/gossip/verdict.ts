import type { Message, TopicValidatorFn } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import { describeError } from '../primitives/errors.ts'
import type { Blame } from './blame.ts'

/** Whether a message goes on to others, and if not, why. Only for `reject` somebody is blamed: no honest peer publishes such a message. */
export type Verdict = { result: 'accept' } | { result: 'ignore' | 'reject'; reason: string }

/** What became of a message: one of others got a verdict, one of this node was sent. */
export type Outcome = Verdict['result'] | 'sent'

export function ignore(reason: string): Verdict {
  return { result: 'ignore', reason }
}

export function reject(reason: string): Verdict {
  return { result: 'reject', reason }
}

interface Court {
  /** Told of messages that no honest peer publishes. */
  blame: Blame
  log: Logger
  /** Told of each message that came, and what became of it. */
  onOutcome?: ((outcome: Outcome) => void) | undefined
}

/**
 * A validator for a topic. Gossipsub's own `reject` counts against every peer that passed the message on, before and after it is judged. So it is
 * told to ignore a message that is rejected, and whoever is to blame is scored down through `Blame`. @param what the messages are called in the log
 */
export function validatorOf(
  what: string,
  { blame, log, onOutcome }: Court,
  judge: (message: Message, sender: PeerId) => Promise<Verdict>,
): TopicValidatorFn {
  return async (sender, message) => {
    const verdict = await judge(message, sender).catch((error): Verdict => ignore(`not stored: ${describeError(error)}`))
    onOutcome?.(verdict.result)
    if (verdict.result !== 'accept') {
      const author = message.type === 'signed' ? message.from : undefined
      log.debug(`${what} ${verdict.result === 'reject' ? 'rejected' : 'ignored'}`, verdict.reason, { peer: author, sender })
    }
    if (verdict.result === 'reject' && message.type === 'signed') {
      blame.garbage(message.from, sender)
      return 'ignore' as never
    }
    // the values of gossipsub's TopicValidatorResult: importing that enum would load gossipsub with this file
    return verdict.result as never
  }
}
