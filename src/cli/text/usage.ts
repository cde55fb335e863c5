import type { Config } from '@oclif/core/config'
import * as Errors from '@oclif/core/errors'
import { UsageError } from '../../primitives/errors.ts'
import { withShownUrls } from '../../primitives/shown-url.ts'
import { BUILTINS } from '../repl/builtins.ts'
import { closest } from './closest.ts'

/** Commands that end or remove something. They are suggested only if the typed text has the same first letter. */
const ENDS_SOMETHING = /^(stop|disconnect|restore)$|\b(remove|unregister|unset)$/

/** The fields of oclif's parser errors that are used here. */
interface ParserError extends Error {
  flags?: string[]
  args?: Array<string | { name: string; description?: string }>
  parse?: { input?: { flags?: Record<string, unknown> } }
}

/** Describes a wrong command line in one line and a hint, in place of oclif's texts. Other errors are returned unchanged. */
export function toUsageError(error: unknown, config: Config, commandId = '', inShell = false): unknown {
  if (!(error instanceof Errors.CLIError) && !(error instanceof Error && 'oclif' in error)) {
    return error
  }
  const help = helpOf(config, commandId)
  return describe(error, help) ?? unknownCommand(error, config, inShell) ?? new UsageError(withShownUrls(firstLine(error)), { hint: help })
}

/** A hint to a command's help. */
export function helpOf(config: Config, commandId = ''): string {
  return `"${[config.bin, ...commandId.split(':'), '--help'].filter((word) => word !== '').join(' ')}" shows what it takes`
}

function describe(error: ParserError, help: string): UsageError | undefined {
  const { name } = error.constructor
  if (name === 'FailedFlagValidationError') {
    return flagsTogether(error, help)
  }
  if (name === 'NonExistentFlagsError') {
    return unknownFlags(error, help)
  }
  if (name === 'RequiredArgsError') {
    const missing = (error.args ?? []).map((arg) => (typeof arg === 'string' ? { name: arg } : arg))
    const hint = missing.map(({ name, description }) => `<${name}>: ${description}`).join('; ')
    return new UsageError(`missing ${missing.map(({ name }) => `<${name}>`).join(' and ')}`, { hint: `${hint}; ${help}` })
  }
  if (name === 'UnexpectedArgsError') {
    return unexpected((error.args ?? []).map(String), help)
  }
  const [, flag, what] = /^Flag (--\S+) (expects|can only be specified once)/.exec(error.message) ?? []
  if (flag != null) {
    return new UsageError(what === 'expects' ? `${flag} needs a value` : `${flag} is given more than once`, { hint: help })
  }
  const [, option = '', value, options] = /^Expected (--[^=]+=)?(.*) to be one of: ([^\n]*)/s.exec(error.message) ?? []
  if (value != null) {
    return new UsageError(`${option.replace('=', ': ')}${JSON.stringify(value)} is not valid; expected one of ${options}`, { hint: help })
  }
  return undefined
}

/** Also names only the flags, without values. */
function flagsTogether({ message }: ParserError, help: string): UsageError {
  const [, one, other] = /--([\w-]+)=[\s\S]* cannot also be provided when using --([\w-]+)/.exec(message) ?? []
  const [, flag, needed] = /must be provided when using --([\w-]+): (--[^\n]+)/.exec(message) ?? []
  const problem = one == null ? `--${flag} needs ${needed}` : `--${one} and --${other} do not go together`
  return new UsageError(problem, { hint: help })
}

/** Names only the flags: a value after `=` may be a secret. */
function unknownFlags(error: ParserError, help: string): UsageError {
  const names = (error.flags ?? []).map((flag) => flag.replace(/=.*/s, ''))
  const known = Object.keys(error.parse?.input?.flags ?? {}).map((name) => `--${name}`)
  const meant = names.length === 1 ? closest(names[0] ?? '', known) : undefined
  const hint = meant == null ? help : `did you mean ${meant}? ${help}`
  return new UsageError(`unknown flag${names.length === 1 ? '' : 's'} ${names.join(', ')}`, { hint })
}

function unexpected(words: string[], help: string): UsageError {
  const list = withShownUrls(words.map((word) => JSON.stringify(word)).join(', '))
  return new UsageError(`unexpected argument${words.length === 1 ? '' : 's'} ${list}`, { hint: help })
}

/** In oclif's error, the words of an unknown command are joined with colons. */
function unknownCommand(error: Error, config: Config, inShell: boolean): UsageError | undefined {
  const id = /^[Cc]ommand (.*) not found\.?$/s.exec(error.message)?.[1]
  if (id == null) {
    return undefined
  }
  if (id.startsWith('-')) {
    return new UsageError(`no command before ${id.replace(/=.*/s, '')}`, {
      hint: `flags come after the command; ${listOf(config, inShell)}`,
    })
  }
  const words = withShownUrls(id).split(':')
  for (let length = words.length - 1; length > 0; length--) {
    const head = words.slice(0, length)
    const isTopic = config.findTopic(head.join(':')) != null
    const meant = isTopic ? commandMeant(words.slice(0, length + 1), config) : undefined
    if (config.findCommand(head.join(':')) != null && meant == null) {
      const help = head.join() === 'alias' ? aliasHint(config, words[length]) : helpOf(config, head.join(':'))
      return unexpected(words.slice(length), help)
    }
    if (isTopic) {
      return noSuchCommand(words.slice(0, length + 1), config, listOf(config, inShell, head.join(' ')))
    }
  }
  return noSuchCommand(words.slice(0, 1), config, listOf(config, inShell))
}

/** A name after `alias` was meant for one of its commands. */
function aliasHint({ bin }: Config, name = ''): string {
  return `"${bin} alias list" lists the aliases, "${bin} alias set ${/^[\w.-]+$/.test(name) ? name : 'NAME'} PEER" makes one`
}

/** The command of the same topic that was probably meant. */
function commandMeant(words: string[], config: Config): string | undefined {
  const topic = words.slice(0, -1)
  const meant = closest(words.at(-1) ?? '', commandsOf(topic.join(':'), config))
  return meant == null ? undefined : [...topic, meant].join(' ')
}

/** A hint to the list of commands, of all or of one topic. */
function listOf({ bin }: Config, inShell: boolean, topic?: string): string {
  const words = inShell ? ['help', topic] : [bin, topic, '--help']
  return `"${words.filter((word) => word != null).join(' ')}" lists the commands`
}

/** The last words of the commands of a topic. */
function commandsOf(topic: string, { commandIDs }: Config): string[] {
  return commandIDs.filter((command) => command.startsWith(`${topic}:`)).map((command) => command.slice(topic.length + 1))
}

function noSuchCommand(words: string[], config: Config, list: string): UsageError {
  const typed = words.join(' ')
  const harmless = (name: string): boolean => !ENDS_SOMETHING.test(name) || name[0] === typed[0]
  const names = [...config.commandIDs.map((id) => id.replaceAll(':', ' ')), ...config.topics.map(({ name }) => name)]
  const meant = words.length > 1 ? commandMeant(words, config) : closest(typed, names.filter(harmless))
  const hint = BUILTINS.includes(typed)
    ? `${typed} is a word of the shell that "${config.bin} start" and "${config.bin} attach" open on a terminal`
    : `${meant == null ? '' : `did you mean "${meant}"? `}${list}`
  return new UsageError(`unknown command ${JSON.stringify(withShownUrls(typed))}`, { hint })
}

/** An error for a topic without a command, if flags of a command follow. Without such flags, the topic shows its help. */
export function topicWithoutCommand(argv: string[], config: Config): UsageError | undefined {
  const flags = argv.findIndex((word) => word.startsWith('-'))
  const id = argv.slice(0, flags < 0 ? undefined : flags).join(':')
  const help = argv.some((word) => word === '--help' || word === '-h')
  if (flags < 0 || help || config.findTopic(id) == null || config.findCommand(id) != null) {
    return undefined
  }
  return new UsageError(`${JSON.stringify(id.replaceAll(':', ' '))} needs a subcommand`, {
    hint: `expected one of ${commandsOf(id, config).sort().join(', ')}, then flags`,
  })
}

function firstLine(error: Error): string {
  return error.message.split('\n')[0]?.trim() ?? ''
}
