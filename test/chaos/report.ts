import type { Account } from './account.ts'
import type { Callers } from './callers.ts'

export interface Findings {
  minutes: number
  seed: number
  account: Account
  faults: Map<string, number>
  callers: Callers
  /** What went wrong beside tasks: nodes that ended, commands that told nothing. */
  complaints: string[]
  notRun: string[]
}

const MOST_COMPLAINTS = 20

/** Prints the counts of a campaign. Gives whether all faults and complaints are 0. */
export function report({ minutes, seed, account, faults, callers, complaints, notRun }: Findings): boolean {
  const { faults: found, examples } = account.close()
  const say = (line: string): unknown => process.stdout.write(`${line}\n`)
  say(`chaos: ${minutes} minutes, seed ${seed}`)
  say(`faults: ${listOf(faults)}`)
  const told = (['accepted', 'may have acted', 'not acted', 'unknown'] as const).map((one) => `${account.told(one)} ${one}`)
  say(`tasks: ${account.size}; told: ${told.join(', ')} (unknown: the command was killed)`)
  say(`failed tasks: ${listOf(callers.codes)}; ${latenciesOf(callers.failedAfterMs)}`)
  for (const one of [...complaints.slice(0, MOST_COMPLAINTS), ...examples]) {
    say(`  ${one}`)
  }
  for (const one of notRun) {
    say(`not run: ${one}`)
  }
  const { lost, doubled, wrong, falselyReported } = found
  say(`lost ${lost}, doubled ${doubled}, wrong ${wrong}, falsely reported ${falselyReported}; other complaints ${complaints.length}`)
  return lost + doubled + wrong + falselyReported + complaints.length === 0
}

function listOf(counts: Map<string, number>): string {
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ') || 'none'
}

function latenciesOf(ms: number[]): string {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (share: number): string => `${((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) / 1_000).toFixed(1)} s`
  return sorted.length === 0 ? 'none was timed' : `reported after ${at(0.5)} (median), ${at(0.95)} (95 of 100), ${at(1)} (the last)`
}
