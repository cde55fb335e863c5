import type { Config } from '@oclif/core/config'
import chalk from 'chalk'
import { wrapped } from '../text/render.ts'

interface Topic {
  title: string
  /** The subject of the topic's commands. */
  about: string
  commands: string[]
}

const TOPICS: Topic[] = [
  {
    title: 'NODE',
    about: 'this node: its state and its events',
    commands: ['id', 'status', 'doctor', 'events', 'top', 'stop', 'backup'],
  },
  {
    title: 'PEERS',
    about: 'connected peers, addresses of peers, names for peers',
    commands: ['peers', 'resolve', 'connect', 'disconnect', 'ping', 'alias'],
  },
  { title: 'CALLS', about: 'a task or any other call to one peer', commands: ['send-task', 'call', 'protocol', 'bench'] },
  { title: 'CHAIN', about: 'the registry of peers', commands: ['chain'] },
  { title: 'SETTINGS', about: 'what the node starts with', commands: ['config', 'key'] },
]
/** Commands that run a node, open a shell, or set up a home or a system shell. */
const NOT_HERE = ['start', 'attach', 'completion', 'init', 'restore']
/** Usage shown for commands with a shell-specific form. */
const TAKES: Record<string, string> = { events: 'events [on|off]' }
const INDENT = 10
const GAP = '  '
/** The width without a terminal, or for a terminal of unknown width. */
const USUAL_COLUMNS = 80

/** Formats the commands of a shell by topic, to fit on one screen. */
export function shellHelp(config: Config): string {
  const columns = process.stdout.columns ?? USUAL_COLUMNS
  const known = commandsOf(config)
  const rest = [...known.keys()].filter((command) => !TOPICS.some(({ commands }) => commands.includes(command)))
  const more: Topic[] = rest.length === 0 ? [] : [{ title: 'MORE', about: 'other commands', commands: rest }]
  const shell = ['help [COMMAND]', 'clear', 'exit [CODE]', 'quit']
  const rows = [...TOPICS, ...more].map(({ title, about, commands }) =>
    topicRows(
      title,
      about,
      commands.flatMap((command) => known.get(command) ?? []),
      columns,
    ),
  )
  return [
    'Commands run on the node of this shell, with or without the word subnet.',
    '',
    ...rows,
    topicRows('SHELL', 'Tab completes, Ctrl-R searches the history, Ctrl-C cancels a command', shell, columns),
    '',
    wrapped('"help COMMAND" shows arguments and flags. Without a peer, a command that needs one shows a list to choose from.', columns),
  ].join('\n')
}

function topicRows(title: string, about: string, items: string[], columns: number): string {
  // an item is never broken across lines
  const list = items.map((item) => item.replaceAll(' ', '\u00a0')).join(` ${GAP.slice(1)}`)
  const commands = wrapped(list, columns, INDENT).replaceAll('\u00a0', ' ')
  return `${chalk.bold(title.padEnd(INDENT))}${chalk.dim(about)}\n${' '.repeat(INDENT)}${commands}`
}

/** The text shown for each command, by its first word. */
function commandsOf(config: Config): Map<string, string> {
  const shown = new Map<string, string>()
  const seconds = new Map<string, string[]>()
  for (const { id, hidden } of config.commands.toSorted((a, b) => a.id.localeCompare(b.id))) {
    const [first = '', second] = id.split(':')
    if (hidden || NOT_HERE.includes(first)) {
      continue
    }
    const list = seconds.get(first) ?? []
    seconds.set(first, second == null ? list : [...list, second])
  }
  for (const [first, list] of seconds) {
    shown.set(first, TAKES[first] ?? [first, list.join('|')].join(' ').trim())
  }
  return shown
}
