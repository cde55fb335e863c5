import chalk from 'chalk'
import { printable } from '../../primitives/printable.ts'
import type { Finding } from '../doctor/finding.ts'
import { wrapped } from './render.ts'

const STATES = {
  ok: chalk.green('ok     '),
  warning: chalk.yellow('warning'),
  problem: chalk.red('problem'),
  skipped: chalk.dim('-      '),
}
const CHECK_WIDTH = 'descriptors'.length

/** One finding, with its remedy in a second line. @param columns of the terminal, if there is one */
export function findingLine({ state, check, subject, message, hint }: Finding, columns?: number): string {
  const what = `${STATES[state]}  ${check.padEnd(CHECK_WIDTH)}  ${wrapped(printable(subject == null ? message : `${subject}: ${message}`), columns, STATE_WIDTH)}`
  return hint == null ? what : `${what}\n${' '.repeat(STATE_WIDTH)}${chalk.dim(wrapped(`hint: ${printable(hint)}`, columns, STATE_WIDTH))}`
}

const STATE_WIDTH = 'warning'.length + 2 + CHECK_WIDTH + 2
