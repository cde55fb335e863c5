import { createHash } from 'node:crypto'

/** What the caller of a task was told of it. `unknown`: its command was killed before it could tell. */
export type Told = 'accepted' | 'may have acted' | 'not acted' | 'unknown'

/** What must be 0 each. */
export interface Faults {
  /** Reported as accepted, but never acted on; or never reported at all. */
  lost: number
  /** Acted on twice, or reported twice. */
  doubled: number
  /** Another payload, result or worker than the task's own, or a task that nobody sent. */
  wrong: number
  /** Acted on, though the caller was told that the peer has not. */
  falselyReported: number
}

interface Task {
  worker: number
  digest: string
  told: Told[]
  /** The error of it, in words. */
  why: string
  resultIsRight: boolean
  acted: Array<{ worker: number; digest: string }>
}

const MOST_EXAMPLES = 20

/** The books of a campaign: what was sent, what callers were told, and what workers did. */
export class Account {
  readonly #tasks = new Map<string, Task>()
  readonly #strangers: string[] = []

  get size(): number {
    return this.#tasks.size
  }

  sent(taskId: string, worker: number, payload: Uint8Array): void {
    this.#tasks.set(taskId, { worker, digest: digestOf(payload), told: [], why: '', resultIsRight: true, acted: [] })
  }

  /** @param result of an accepted task @param why the error of one that failed */
  reported(taskId: string, told: Told, { result, why = '' }: { result?: Uint8Array; why?: string } = {}): void {
    const task = this.#tasks.get(taskId)
    if (task == null) {
      this.#strangers.push(taskId)
      return
    }
    task.told.push(told)
    task.why = why
    if (told === 'accepted' && (result == null || !Buffer.from(result).equals(resultOf(taskId, task.digest)))) {
      task.resultIsRight = false
    }
  }

  /** One line of a worker's journal. */
  acted(taskId: string, worker: number, digest: string): void {
    const task = this.#tasks.get(taskId)
    if (task == null) {
      this.#strangers.push(taskId)
    } else {
      task.acted.push({ worker, digest })
    }
  }

  told(told: Told): number {
    return [...this.#tasks.values()].filter((task) => task.told.includes(told)).length
  }

  close(): { faults: Faults; examples: string[] } {
    const faults: Faults = { lost: 0, doubled: 0, wrong: this.#strangers.length, falselyReported: 0 }
    const examples = this.#strangers.map((taskId) => `wrong: ${taskId}: nobody sent it`)
    for (const [taskId, task] of this.#tasks) {
      for (const fault of faultsOf(task)) {
        faults[fault]++
        examples.push(
          `${fault}: ${taskId}: told ${task.told.join(', ') || 'nothing'}; acted on by ${whoActed(task)}, sent to ${task.worker}; ${task.why}`,
        )
      }
    }
    return { faults, examples: examples.slice(0, MOST_EXAMPLES) }
  }
}

function faultsOf({ worker, digest, told, resultIsRight, acted }: Task): Array<keyof Faults> {
  const isWrong = !resultIsRight || acted.some((act) => act.worker !== worker || act.digest !== digest)
  const holds: Record<keyof Faults, boolean> = {
    lost: told.length === 0 || (told.includes('accepted') && acted.length === 0),
    doubled: acted.length > 1 || told.length > 1,
    wrong: isWrong,
    falselyReported: told.includes('not acted') && acted.length > 0,
  }
  return (Object.keys(holds) as Array<keyof Faults>).filter((fault) => holds[fault])
}

function whoActed({ acted }: Task): string {
  return acted.map(({ worker }) => worker).join(', ') || 'nobody'
}

export function digestOf(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex')
}

/** What a worker answers: it depends on all of the task. */
export function resultOf(taskId: string, digest: string): Buffer {
  return Buffer.from(`${taskId} ${digest}`)
}
