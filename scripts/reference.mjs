// npm run reference: writes docs/reference.md and the man page from what the sources declare. With --check it only says whether they are as they should be.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { readDeclarations } from './declarations.mjs'
import { manPage } from './man-page.mjs'

const PRINTED_BY_MANY = { node: 'Node flags', serving: 'Serving flags', common: 'Common flags' }
/** The command that has all flags that many have. */
const HAS_ALL = 'start'
const IS_PARAGRAPH = /^[^|`<-]/
const LINES = /(.{1,120})(?: |$)/g

process.chdir(resolve(import.meta.dirname, '..'))
const declared = await readDeclarations()
const files = {
  'docs/reference.md': reference(declared),
  'man/subnet.1': manPage(declared, JSON.parse(readFileSync('package.json', 'utf8'))),
}
const old = Object.entries(files).filter(([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text)

if (!process.argv.includes('--check')) {
  for (const [file, text] of old) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    process.stdout.write(`wrote ${file}\n`)
  }
} else if (old.length > 0) {
  process.stderr.write(`not as the sources declare it: ${old.map(([file]) => file).join(', ')}; "npm run reference" writes it\n`)
  process.exitCode = 1
}

function reference({ commands, error, settings, exits }) {
  const all = commands.find(({ id }) => id === HAS_ALL)
  return [
    '# Reference',
    '<!-- Written by "npm run reference" from what the sources declare; "npm run docs" compares it. -->',
    'Every command, flag, setting, JSON field and exit code. `subnet COMMAND --help` prints one command, `man subnet` prints all.',
    [
      '- [Commands](#commands)',
      '- [Flags of many commands](#flags-of-many-commands)',
      '- [Settings](#settings)',
      '- [Errors as JSON](#errors-as-json)',
      '- [Exit codes](#exit-codes)',
    ].join('\n'),
    '## Commands',
    table(
      ['command', 'what it does'],
      commands.map(({ id, summary }) => [`[\`subnet ${id}\`](#subnet-${id.replaceAll(' ', '-')})`, prose(summary)]),
    ),
    ...commands.flatMap(commandBlocks),
    '## Flags of many commands',
    ...Object.entries(PRINTED_BY_MANY).flatMap(([group, title]) => [`### ${title}`, flagTable(all.shared[group])]),
    '## Settings',
    'A flag counts first, then the environment variable, then the key in `config.json`, then the default. An environment variable separates the items of a list with commas. A duration is `500ms`, `20s` or `5m`.',
    table(
      ['key', 'flag', 'variable', 'default', 'what it is'],
      settings.map(({ name, flag, variable, fallback, about }) => [
        code(name),
        flag == null ? '' : code(flag),
        code(variable),
        code(fallback),
        about,
      ]),
    ),
    '## Errors as JSON',
    'With `--json` a failure prints `{"error": {…}}` on stdout, with these fields:',
    fieldTable(error),
    '## Exit codes',
    table(
      ['code', 'name', 'when'],
      [['0', '', 'done; for tasks: accepted'], ...exits.map(({ code: number, name, when }) => [String(number), code(name), when])],
    ),
  ]
    .map((block) => (IS_PARAGRAPH.test(block) ? block.replace(LINES, '$1\n').trimEnd() : block))
    .join('\n\n')
    .concat('\n')
}

function commandBlocks({ id, usage, summary, description, args, own, shared, examples, printed, json }) {
  const many = Object.entries(PRINTED_BY_MANY)
    .filter(([group]) => shared[group].length > 0)
    .map(([group, title]) => {
      const some = group === 'node' ? ` (${shared.node.map(({ text }) => code(text.split(' ')[0])).join(', ')})` : ''
      return `[${title.toLowerCase()}](#${title.toLowerCase().replaceAll(' ', '-')})${some}`
    })
  return [
    `### subnet ${id}`,
    prose([summary, description].filter((text) => text !== '').join(' ')),
    `\`\`\`\n${usage}\n\`\`\``,
    ...(args.length + own.length === 0 ? [] : [flagTable([...args, ...own])]),
    `Also: ${many.join(', ')}.`,
    ...jsonBlocks(json, printed),
    ...(examples.length === 0 ? [] : [`\`\`\`\n${examples.map((example) => `$ ${example}`).join('\n')}\n\`\`\``]),
  ]
}

function jsonBlocks(json, printed) {
  const what =
    json == null
      ? printed
      : `${json.isList ? 'a list; each entry has' : 'an object with'} these fields${printed == null ? '' : `; ${printed}`}`
  return what == null ? [] : [`With \`--json\`: ${what}${json == null ? '.' : ':'}`, ...(json == null ? [] : [fieldTable(json.fields)])]
}

function flagTable(rows) {
  return table(
    ['argument or flag', 'what it is'],
    rows.map(({ text, about }) => [code(text), prose(about)]),
  )
}

function fieldTable(fields) {
  return table(
    ['field', 'type', 'what it is'],
    fields.map(({ path, type, about }) => [code(path), type, prose(about)]),
  )
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |')
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** Of prose: what stands in angles is no HTML. */
function prose(text) {
  return text.replaceAll('<', '&lt;')
}

function code(text) {
  return `\`${text}\``
}
