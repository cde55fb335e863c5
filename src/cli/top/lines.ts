import chalk from 'chalk'
import { printable } from '../../primitives/printable.ts'
import { cut, shortPeerId, widthOf } from '../text/render.ts'

/** A text in a fixed number of columns: cleaned, cut and padded. */
export function cell(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  const shown = width < 1 ? '' : cut(printable(text).trimEnd(), width)
  const blanks = ' '.repeat(Math.max(0, width - widthOf(shown)))
  return side === 'left' ? shown + blanks : blanks + shown
}

/** One text at the left end and one at the right end. If both do not fit, the left text is cut. */
export function ends(left: string, right: string, width: number): string {
  return `${cell(left, Math.max(0, width - widthOf(right) - 1))} ${right}`
}

/** A section's name, and a note beside it. */
export function heading(name: string, beside: string, width: number): string {
  return chalk.bold(name) + chalk.dim(cut(`  ${printable(beside)}`, Math.max(1, width - widthOf(name))))
}

/** The alias, or else the short form of the peer ID. */
export function nameOf({ alias, peerId }: { alias: string | null; peerId: string }): string {
  return alias ?? shortPeerId(peerId)
}
