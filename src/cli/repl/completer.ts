import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Command } from '@oclif/core/command'
import type { Config } from '@oclif/core/config'
import { SETTING_NAMES } from '../../node/home/config.ts'
import { LOG_LEVELS } from '../../observe/log-filter.ts'
import { LOG_FORMATS } from '../../observe/log-format.ts'
import { type BegunWord, begunWords, type Quote } from './begun-words.ts'
import { withoutTilde } from './tilde.ts'

export interface CompletionSources {
  config: Config
  /** Peer IDs and aliases. */
  peers(): Promise<string[]>
  /** Protocol IDs of a peer. */
  protocols(peer: string): Promise<string[]>
  /** Words of the shell itself, allowed in place of a command. */
  builtins?: string[]
}

/** The value names in help for flags that take a file or a folder. */
const FILE_VALUE = /^(FILE|DIR|MODULE)\b/
/** The same for flags that take other values too, and a file after an `@`. */
const AT_FILE_VALUE = /(^|\|)@FILE\b/
const FILE_ARGS = ['file']
/** The values of the log flags. */
const LOG_WORDS: Record<string, readonly string[]> = { 'log-level': LOG_LEVELS, 'log-format': LOG_FORMATS }

export interface Completions {
  /** Completions of the last word; each is a whole word, without quotes and backslashes. */
  words: string[]
  /** The last word as typed. */
  last: string
  /** The quote that is open at the end of the line. */
  quote: Quote | undefined
}

/** The completions of the line typed so far. */
export async function completeLine(typed: string, sources: CompletionSources): Promise<Completions> {
  const begun = begunWords(typed)
  const { raw: last, quote } = begun.at(-1) as BegunWord
  const words = begun.map(({ text }) => text)
  if (words[0] === sources.config.bin && words.length > 1) {
    words.shift()
  }
  // in a quote, `~` is not a folder
  const found = quote != null && /^[^~]*["']~/.test(last) ? [] : await completeWords(words, sources)
  return { words: found, last, quote }
}

/** The completions of the last word, which may be empty; each is a whole word. A folder ends in a slash. */
export async function completeWords(words: string[], sources: CompletionSources): Promise<string[]> {
  const last = words.at(-1) ?? ''
  const candidates = await candidatesOf(words.slice(0, -1), last, sources)
  return [...new Set(candidates)].filter((candidate) => candidate.startsWith(last)).sort()
}

async function candidatesOf(before: string[], last: string, sources: CompletionSources): Promise<string[]> {
  const { config } = sources
  if (before[0] === 'help') {
    return nextWords(before.slice(1), config)
  }
  const command = commandOf(before, config)
  if (command == null) {
    return [...nextWords(before, config), ...(before.length === 0 ? ['help', ...(sources.builtins ?? [])] : [])]
  }
  const rest = before.slice(command.id.split(':').length)
  const [, name, begun] = /^--([^=]+)=(.*)$/.exec(last) ?? []
  if (name != null) {
    return (await valuesOf(command, name, begun ?? '')).map((value) => `--${name}=${value}`)
  }
  const { open, positionals, used } = read(rest, command)
  if (open != null) {
    return valuesOf(command, open, last)
  }
  if (last.startsWith('-')) {
    return flagsOf(command, used)
  }
  const commands = rest.length === 0 ? nextWords(before, config) : []
  return [...commands, ...(await argumentsOf(command, positionals, last, sources))]
}

/** The command at the start of the words. */
function commandOf(words: string[], config: Config): Command.Loadable | undefined {
  for (let length = Math.min(2, words.length); length > 0; length--) {
    const command = config.findCommand(words.slice(0, length).join(':'))
    if (command != null) {
      return command
    }
  }
  return undefined
}

/** The possible next words of multi-word commands. */
function nextWords(before: string[], config: Config): string[] {
  const prefix = before.map((word) => `${word}:`).join('')
  return config.commands
    .filter(({ id, hidden }) => !hidden && id.startsWith(prefix))
    .map(({ id }) => id.slice(prefix.length).split(':')[0] as string)
}

interface Typed {
  /** The flag that still needs its value. */
  open: string | undefined
  positionals: string[]
  used: string[]
}

function read(words: string[], command: Command.Loadable): Typed {
  let open: string | undefined
  const positionals: string[] = []
  const used: string[] = []
  for (const word of words) {
    const [, name, value] = /^--([^=]+)(=.*)?$/.exec(word) ?? []
    if (open != null) {
      open = undefined
    } else if (name == null) {
      positionals.push(word)
    } else {
      used.push(name)
      open = value == null && command.flags[name]?.type === 'option' ? name : undefined
    }
  }
  return { open, positionals, used }
}

function flagsOf(command: Command.Loadable, used: string[]): string[] {
  const again = (flag: object): boolean => 'multiple' in flag && flag.multiple === true
  return Object.values(command.flags)
    .filter((flag) => flag.hidden !== true && (again(flag) || !used.includes(flag.name)))
    .map(({ name }) => `--${name}`)
    .concat('--help')
}

async function valuesOf(command: Command.Loadable, name: string, begun: string): Promise<string[]> {
  const flag = command.flags[name]
  const options = LOG_WORDS[name] ?? (flag != null && 'options' in flag ? flag.options : undefined)
  const value = flag?.type === 'option' ? String(flag.helpValue) : ''
  if (AT_FILE_VALUE.test(value)) {
    return begun.startsWith('@') ? (await files(begun.slice(1))).map((file) => `@${file}`) : []
  }
  return options == null && FILE_VALUE.test(value) ? files(begun) : [...(options ?? [])]
}

async function argumentsOf(command: Command.Loadable, before: string[], begun: string, sources: CompletionSources): Promise<string[]> {
  const args = Object.values(command.args)
  const index = before.length
  const arg = args[Math.min(index, args.length - 1)]
  if (arg == null || index >= args.length) {
    return []
  }
  if (arg.name === 'peer' || command.id === 'alias:remove') {
    return sources.peers()
  }
  if (arg.name === 'protocol') {
    return sources.protocols(before[0] ?? '')
  }
  if (arg.name === 'key') {
    return SETTING_NAMES
  }
  return FILE_ARGS.includes(arg.name) ? files(begun) : [...(arg.options ?? [])]
}

/** The files and folders that match a partial path. */
async function files(begun: string): Promise<string[]> {
  if (begun === '~') {
    return ['~/']
  }
  const folder = begun.endsWith('/') ? begun : dirname(begun)
  const entries = await readdir(withoutTilde(folder), { withFileTypes: true }).catch(() => [])
  const hidden = basename(begun).startsWith('.')
  return entries
    .filter(({ name }) => hidden || !name.startsWith('.'))
    .map((entry) => {
      const path = begun.includes('/') ? join(folder, entry.name) : entry.name
      return entry.isDirectory() ? `${begun.startsWith('./') ? './' : ''}${path}/` : `${begun.startsWith('./') ? './' : ''}${path}`
    })
}
