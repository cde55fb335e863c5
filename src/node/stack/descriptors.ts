import { readdirSync, readFileSync } from 'node:fs'

/** Kept for the control socket, files and programs, but at most a quarter of all. Connections of peers are refused before these are used. */
const RESERVED = 64
/** With more than these a node's bound on connections comes first. */
const ENOUGH = 4_096

export interface DescriptorsInit {
  /** The most that this process may have open; undefined where the system does not tell. @default this process's limit */
  limit?: number | undefined
  /** Counts those that are open. @default this process's */
  count?: () => number
}

/** The file descriptors of this process: how many it has open, and may have. */
export class Descriptors {
  readonly limit: number | undefined
  readonly #count: () => number

  constructor({ limit = ownLimit(), count = countOwn }: DescriptorsInit = {}) {
    this.limit = limit
    this.#count = count
  }

  /** Whether none is left but those that are reserved. */
  get areShort(): boolean {
    const { limit } = this
    return limit != null && limit <= ENOUGH && this.open > limit - Math.min(RESERVED, Math.ceil(limit / 4))
  }

  get open(): number {
    return this.#count()
  }
}

/** Linux alone tells. */
function ownLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return soft == null ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

function countOwn(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch (error) {
    // it takes one to count them
    return (error as NodeJS.ErrnoException).code === 'EMFILE' ? Number.POSITIVE_INFINITY : 0
  }
}
