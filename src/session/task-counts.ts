import type { TaskEvent } from '../protocol/builtin/task.ts'
import type { RejectionReason } from '../protocol/builtin/task-rejection.ts'
import type { StatusAnswer } from './answers.ts'
import { keepFailure } from './given-up.ts'

type Counted = Pick<StatusAnswer['tasks'], 'accepted' | 'rejected' | 'rejections' | 'lastRejections'>

const MAX_KEPT = 8

/** Outcomes of peers' tasks since the node was created. */
export class TaskCounts {
  #accepted = 0
  readonly #reasons = new Map<RejectionReason, number>()
  /** The newest rejection comes last. */
  readonly #last: Counted['lastRejections'] = []

  count({ accepted, taskId, peerId, reason, detail = '' }: TaskEvent): void {
    if (accepted || reason == null) {
      this.#accepted++
      return
    }
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1)
    keepFailure(this.#last, { atMs: Date.now(), taskId, peerId, reason, detail }, MAX_KEPT)
  }

  get state(): Counted {
    const rejections = [...this.#reasons].map(([reason, count]) => ({ reason, count })).toSorted((a, b) => b.count - a.count)
    return {
      accepted: this.#accepted,
      rejected: rejections.reduce((sum, { count }) => sum + count, 0),
      rejections,
      lastRejections: this.#last.toReversed(),
    }
  }
}
