// The man page, from what scripts/declarations.mjs read: in the macros of man(7), which every man knows.

const GROUPS = { node: 'NODE FLAGS', serving: 'SERVING FLAGS', common: 'COMMON FLAGS' }
/** The command that has all flags that many have. */
const HAS_ALL = 'start'

export function manPage({ commands, settings, exits }, { name, description }) {
  const all = commands.find(({ id }) => id === HAS_ALL)
  return `${[
    '.\\" Written by "npm run reference" from what the sources declare.',
    `.TH SUBNET 1 "" "${name}" "User Commands"`,
    section('NAME'),
    `subnet \\- ${plain(description[0].toLowerCase() + description.slice(1))}`,
    section('SYNOPSIS'),
    '.B subnet\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIFLAGS\\fR]',
    section('DESCRIPTION'),
    plain(
      `${description}. Every command acts on the node that runs in the home, or on a node of its own for as long as the command takes.`,
    ),
    section('COMMANDS'),
    ...commands.flatMap(commandLines),
    ...Object.entries(GROUPS).flatMap(([group, title]) => [section(title), ...all.shared[group].map(item)]),
    section('SETTINGS'),
    plain('A flag counts most, then the variable of the environment, then the key of config.json in the home, then the default.'),
    ...settings.map(({ name: key, variable, fallback, about }) =>
      item({ text: `${key}, ${variable}`, about: `${about} [default: ${fallback}]` }),
    ),
    section('FILES'),
    item({ text: 'config.json', about: 'in the home: the settings' }),
    item({ text: 'identity.key', about: 'in the home: the identity key; whoever has it is this peer' }),
    item({ text: 'node.db', about: 'in the home: the address book and the aliases' }),
    item({ text: 'node.sock', about: 'in the home: the control socket of the node that runs' }),
    section('EXIT STATUS'),
    item({ text: '0', about: 'done; for tasks: accepted' }),
    ...exits.map(({ code, name: word, when }) => item({ text: `${code} ${word}`, about: when })),
    section('SEE ALSO'),
    plain('The reference, with the fields of all JSON, is docs/reference.md of the package.'),
  ].join('\n')}\n`
}

function commandLines({ usage, summary, description, args, own, examples }) {
  return [
    `.SS "${plain(usage).replaceAll('"', '\\(dq')}"`,
    plain([summary, description].filter((text) => text !== '').join(' ')),
    ...[...args, ...own].map(item),
    ...(examples.length === 0 ? [] : ['.PP', '.nf', '.RS', ...examples.map((example) => plain(`$ ${example}`)), '.RE', '.fi']),
  ]
}

function section(title) {
  return `.SH ${title}`
}

function item({ text, about }) {
  return `.TP\n.B ${plain(text).replaceAll('"', '\\(dq')}\n${plain(about === '' ? '-' : about)}`
}

/** A text as roff takes it: no line of it is a request. */
function plain(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('…', '...')
    .split('\n')
    .map((line) => line.replace(/^\./, '\\&.'))
    .join('\n')
}
