import type { DialBackReport, Verdict } from './reachability.ts'

/** Reports that are kept of one address. */
const MAX_REPORTS = 8
/** Peers that must fail before an address counts as private; one, where only one can be asked. */
const FAILURES = 2

/**
 * What peers said of one address: the last word of each, at most 8. An address is public from the first dial-back on, until two peers in turn have
 * failed. A peer that declined to try says nothing of the address.
 */
export class DialBackReports {
  /** The newest first. */
  #reports: DialBackReport[] = []

  get list(): DialBackReport[] {
    return [...this.#reports]
  }

  add(report: DialBackReport): void {
    this.#reports = [report, ...this.#reports.filter(({ peerId }) => peerId !== report.peerId)].slice(0, MAX_REPORTS)
  }

  /** When this peer was asked last, in Unix milliseconds; undefined where it was not. */
  askedAtMs(peerId: string): number | undefined {
    return this.#reports.find((report) => report.peerId === peerId)?.atMs
  }

  /** @param askable peers that can be asked, those that were asked included */
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
