import { readdirSync, readFileSync } from 'node:fs'

/**
 * Descriptors reserved for the control socket, files and programs, but at most a quarter of the limit. Peer connections are refused before
 * these are used.
 */
const RESERVED = 64
/** Above this limit, the node's connection limit takes effect first. */
const ENOUGH = 4_096

export interface DescriptorsInit {
  /** Maximum open descriptors of this process. Undefined if unknown. @default the limit of this process */
  limit?: number | undefined
  /** Counts the open descriptors. @default those of this process */
  count?: () => number
}

/** The file descriptors of this process: open count and limit. */
export class Descriptors {
  readonly limit: number | undefined
  readonly #count: () => number

  constructor({ limit = ownLimit(), count = countOwn }: DescriptorsInit = {}) {
    this.limit = limit
    this.#count = count
  }

  /** True if only reserved descriptors are left. */
  get areShort(): boolean {
    const { limit } = this
    return limit != null && limit <= ENOUGH && this.open > limit - Math.min(RESERVED, Math.ceil(limit / 4))
  }

  get open(): number {
    return this.#count()
  }
}

/** Reads the limit. Available on Linux only. */
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
    // counting itself takes a descriptor
    return (error as NodeJS.ErrnoException).code === 'EMFILE' ? Number.POSITIVE_INFINITY : 0
  }
}
