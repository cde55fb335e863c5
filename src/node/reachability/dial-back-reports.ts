import type { DialBackReport, Verdict } from './reachability.ts'

/** Maximum reports kept per address. */
const MAX_REPORTS = 8
/** Consecutive failures, by different peers, after which an address counts as private. One is enough if only one peer can be asked. */
const FAILURES = 2

/**
 * Dial-back reports of one address: the latest of each peer, at most 8. An address is public from the first successful dial-back until two
 * peers in a row fail. A declined request says nothing about the address.
 */
export class DialBackReports {
  /** Newest first. */
  #reports: DialBackReport[] = []

  get list(): DialBackReport[] {
    return [...this.#reports]
  }

  add(report: DialBackReport): void {
    this.#reports = [report, ...this.#reports.filter(({ peerId }) => peerId !== report.peerId)].slice(0, MAX_REPORTS)
  }

  /** When this peer was last asked, as Unix time in milliseconds. Undefined if never. */
  askedAtMs(peerId: string): number | undefined {
    return this.#reports.find((report) => report.peerId === peerId)?.atMs
  }

  /** @param askable peers that can be asked, including those already asked */
  verdict(askable: readonly string[]): Verdict {
    const telling = this.#reports.filter(({ outcome }) => outcome !== 'declined')
    const reachedAt = telling.findIndex(({ outcome }) => outcome === 'reached')
    const failures = reachedAt === -1 ? telling.length : reachedAt
    const silent = new Set(this.#reports.filter(({ outcome }) => outcome === 'declined').map(({ peerId }) => peerId))
    const voices = new Set([...askable.filter((peerId) => !silent.has(peerId)), ...telling.map(({ peerId }) => peerId)])
    if (failures > 0 && failures >= Math.min(FAILURES, voices.size)) {
      return 'private'
    }
    return reachedAt === -1 ? 'unknown' : 'public'
  }
}
