// Draws docs/session.txt, a session that test/e2e/readme.test.ts records and compares, as docs/session.svg.
// node scripts/session-svg.mjs [--check]: with --check, only checks whether the picture is current.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const [TEXT, PICTURE] = ['../docs/session.txt', '../docs/session.svg'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
/** The maximum width. Longer lines are cut, because a page shows the picture at 90 columns. */
const COLUMNS = 90
const [CHAR_WIDTH, LINE_HEIGHT, MARGIN] = [8.4, 19, 16]
const COLOURS = { ground: '#16181d', text: '#d7dae0', prompt: '#7fd88f', faint: '#8b909c', error: '#ff8f87' }
/** The style of a line: the first match applies. */
const STYLES = [
  [/^(\$|subnet>)( .*)?$/, ([, prompt, command = '']) => [span(COLOURS.prompt, prompt), span(COLOURS.text, command)]],
  [/^(error:)(.*)$/, ([, word, rest]) => [span(COLOURS.error, word), span(COLOURS.text, rest)]],
  [/^(peer |hint:|[A-Z]+ {2}|stopp|source:|").*$/, ([line]) => [span(COLOURS.faint, line)]],
  [/^.*$/, ([line]) => [span(COLOURS.text, line)]],
]

function span(colour, text) {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<tspan fill="${colour}">${escaped}</tspan>`
}

function drawn(line, row) {
  const cut = line.length > COLUMNS ? `${line.slice(0, COLUMNS - 1)}…` : line
  const [pattern, style] = STYLES.find(([each]) => each.test(cut))
  return `<text x="${MARGIN}" y="${MARGIN + (row + 1) * LINE_HEIGHT - 5}" xml:space="preserve">${style(pattern.exec(cut)).join('')}</text>`
}

const lines = (await readFile(TEXT, 'utf8')).trimEnd().split('\n')
const [width, height] = [Math.ceil(COLUMNS * CHAR_WIDTH) + 2 * MARGIN, lines.length * LINE_HEIGHT + 2 * MARGIN]
const picture = [
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="A session in a terminal">`,
  `<rect width="100%" height="100%" rx="8" fill="${COLOURS.ground}"/>`,
  '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">',
  ...lines.map(drawn),
  '</g>',
  '</svg>',
  '',
].join('\n')
if (process.argv.includes('--check')) {
  if ((await readFile(PICTURE, 'utf8').catch(() => '')) !== picture) {
    process.stderr.write('docs/session.svg does not show docs/session.txt: run "node scripts/session-svg.mjs"\n')
    process.exitCode = 1
  }
} else {
  await writeFile(PICTURE, picture)
}
