import chalk from 'chalk'
import { printable } from '../../primitives/printable.ts'
import type { Finding } from '../doctor/finding.ts'

const STATES = {
  ok: chalk.green('ok     '),
  warning: chalk.yellow('warning'),
  problem: chalk.red('problem'),
  skipped: chalk.dim('-      '),
}
const CHECK_WIDTH = 'descriptors'.length

/** One finding, and in a second line what to do about it. */
export function findingLine({ state, check, subject, message, hint }: Finding): string {
  const what = `${STATES[state]}  ${check.padEnd(CHECK_WIDTH)}  ${printable(subject == null ? message : `${subject}: ${message}`)}`
  return hint == null ? what : `${what}\n${' '.repeat(STATE_WIDTH)}${chalk.dim(`hint: ${printable(hint)}`)}`
}

const STATE_WIDTH = 'warning'.length + 2 + CHECK_WIDTH + 2
