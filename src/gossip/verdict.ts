import type { Message, TopicValidatorFn } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import { describeError } from '../primitives/errors.ts'
import type { Blame } from './blame.ts'

/** Whether a message is forwarded, and the reason if not. Only `reject` blames a peer: no honest peer publishes such a message. */
export type Verdict = { result: 'accept' } | { result: 'ignore' | 'reject'; reason: string }

/** The outcome of a message: a verdict for a received message, `sent` for a message of this node. */
export type Outcome = Verdict['result'] | 'sent'

export function ignore(reason: string): Verdict {
  return { result: 'ignore', reason }
}

export function reject(reason: string): Verdict {
  return { result: 'reject', reason }
}

interface Court {
  /** Called for messages that no honest peer publishes. */
  blame: Blame
  log: Logger
  /** Called for each received or sent message with its outcome. */
  onOutcome?: ((outcome: Outcome) => void) | undefined
}

/**
 * A validator for a topic. Gossipsub's own `reject` lowers the score of every peer that forwarded the message, before and after its
 * validation. A rejected message is therefore reported to gossipsub as ignored, and the guilty peer is scored down through `Blame`.
 * @param what the name of the messages in the log
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
    // the values of gossipsub's TopicValidatorResult; an import of the enum would load gossipsub together with this file
    return verdict.result as never
  }
}
