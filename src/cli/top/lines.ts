import chalk from 'chalk'
import { printable } from '../../primitives/printable.ts'
import { cut, shortPeerId, widthOf } from '../text/render.ts'

/** A text in so many columns: cleaned, cut, and filled up. */
export function cell(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  const shown = width < 1 ? '' : cut(printable(text).trimEnd(), width)
  const blanks = ' '.repeat(Math.max(0, width - widthOf(shown)))
  return side === 'left' ? shown + blanks : blanks + shown
}

/** What stands left, and what stands at the right end. Where there is no room for both, the right one stays whole. */
export function ends(left: string, right: string, width: number): string {
  return `${cell(left, Math.max(0, width - widthOf(right) - 1))} ${right}`
}

/** The name of a section, and words beside it. */
export function heading(name: string, beside: string, width: number): string {
  return chalk.bold(name) + chalk.dim(cut(`  ${printable(beside)}`, Math.max(1, width - widthOf(name))))
}

/** An alias where there is one; else the short form of the ID. */
export function nameOf({ alias, peerId }: { alias: string | null; peerId: string }): string {
  return alias ?? shortPeerId(peerId)
}
