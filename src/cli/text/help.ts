import type { Command } from '@oclif/core/command'
import { Help as OclifHelp } from '@oclif/core/help'
import chalk from 'chalk'
import { shellContext } from '../shell-context.ts'

/** The groups of flags that many commands have, by oclif's `helpGroup`. */
const FLAGS_OF_MANY: Record<string, string> = { NODE: 'NODE FLAGS', SERVING: 'SERVING FLAGS', GLOBAL: 'COMMON FLAGS' }
/** A command that has the flags of all groups. */
const HAS_ALL = 'start'
/** The flags of oclif itself. */
export const OWN_TO_OCLIF: Record<string, FlagText> = {
  json: { description: 'answer in JSON, errors too; streams print one event per line' },
  help: { description: 'show this help, or that of a command' },
}
/** The common flags that apply to a line of a shell, where node, home and log are fixed. */
const USED_IN_SHELL = ['json', 'timeout']
/** Minimum columns before a description. */
const GAP = 2

/** The fields of an oclif flag used in help. */
interface FlagText {
  name?: string
  char?: string
  helpValue?: string | string[]
  allowNo?: boolean
  description?: string
  hidden?: boolean
}

/** Help that fits on a screen: a line for each flag of the command itself, and only the names of shared flags. */
export default class Help extends OclifHelp {
  #json = false

  constructor(...init: ConstructorParameters<typeof OclifHelp>) {
    super(...init)
    const { render } = this
    // most texts are not templates, and a template is compiled at each use
    this.render = (text) => (text.includes('<%') ? render(text) : text)
  }

  override async showHelp(argv: string[]): Promise<void> {
    this.#json = argv.includes('--json')
    await super.showHelp(argv)
  }

  /** The help of the program. */
  override async showRootHelp(): Promise<void> {
    const { bin, pjson } = this.config
    const shared = Object.entries(FLAGS_OF_MANY).map(([group, title]) => this.#list(title, flagRows(this.#flagsIn(group))))
    this.#print(
      this.#wrapped(`${pjson.description ?? ''}.`),
      this.#usage(`${bin} COMMAND [ARGUMENTS] [FLAGS]`),
      this.#list('COMMANDS', this.#commandRows('')),
      ...shared,
      this.#wrapped(`"${bin} COMMAND --help" says more, and shows examples.`),
    )
  }

  /** The help of commands with the same first word. */
  override async showTopicHelp({ name, description = '' }: { name: string; description?: string }): Promise<void> {
    this.#print(
      this.#wrapped(`${description}.`),
      this.#usage(`${this.config.bin} ${name} COMMAND [ARGUMENTS] [FLAGS]`),
      this.#list('COMMANDS', this.#commandRows(`${name}:`)),
    )
  }

  override async showCommandHelp(command: Command.Loadable): Promise<void> {
    const { bin } = this.config
    const words = command.id.replaceAll(':', ' ')
    const args = Object.entries(command.args).filter(([, { hidden }]) => hidden !== true)
    const own = Object.entries(command.flags).filter(([, { helpGroup }]) => FLAGS_OF_MANY[helpGroup ?? ''] == null)
    const about = [command.summary, command.description].filter((text) => text != null && text !== '').join('\n')
    this.#print(
      this.#wrapped(this.render(about)),
      this.#usage([bin, words, ...args.map(([name, arg]) => argumentText(name, arg)), '[FLAGS]'].join(' ')),
      this.#list(
        'ARGUMENTS',
        args.map(([name, { description = '' }]) => [name.toUpperCase(), description]),
      ),
      this.#list('FLAGS', flagRows(Object.fromEntries(own))),
      this.#shared(command),
      this.#examples(command),
    )
  }

  #usage(text: string): string {
    return `${chalk.bold('USAGE')}  ${text}`
  }

  /** The flags of a group, as `start` declares them. They are in oclif's manifest, so no command is loaded. */
  #flagsIn(group: string): Record<string, FlagText> {
    const flags = Object.entries(this.config.findCommand(HAS_ALL)?.flags ?? {})
    const known = flags.filter(([name, { helpGroup }]) => helpGroup === group && !Object.hasOwn(OWN_TO_OCLIF, name))
    return { ...Object.fromEntries(known), ...(group === 'GLOBAL' ? OWN_TO_OCLIF : {}) }
  }

  /** The names of the command's shared flags. A flag with another meaning is listed with the command's own flags. */
  #shared(command: Command.Loadable): string {
    const inShell = shellContext.getStore() != null
    const groups = Object.entries(FLAGS_OF_MANY).map(([group, title]) => {
      const names = Object.values(command.flags)
        .filter(({ name, helpGroup, hidden }) => helpGroup === group && hidden !== true && (!inShell || USED_IN_SHELL.includes(name)))
        .map(flagText)
      return { title, names }
    })
    const width = Math.max(...groups.map(({ title }) => title.length)) + GAP
    return groups
      .filter(({ names }) => names.length > 0)
      .map(({ title, names }) => {
        // keeps a name and its value on one line
        const text = this.#wrapped(names.map((name) => name.replaceAll(' ', '\u00a0')).join(', '), width).replaceAll('\u00a0', ' ')
        return `${chalk.bold(title.padEnd(width))}${text}`
      })
      .join('\n')
  }

  #examples({ examples = [] }: Command.Loadable): string {
    const lines = examples.map((example) => `  $ ${this.render(String(example))}`)
    return lines.length === 0 ? '' : [chalk.bold('EXAMPLES'), ...lines].join('\n')
  }

  #list(title: string, rows: Array<[string, string]>): string {
    if (rows.length === 0) {
      return ''
    }
    const width = Math.max(...rows.map(([left]) => left.length)) + 2 + GAP
    return [chalk.bold(title), ...rows.map(([left, right]) => `  ${left}`.padEnd(width) + this.#wrapped(right, width))].join('\n')
  }

  /** The commands, or groups of commands, whose next word follows `prefix`. */
  #commandRows(prefix: string): Array<[string, string]> {
    const rows = this.sortedCommands
      .filter(({ id }) => id.startsWith(prefix))
      .map((command): [string, string] => {
        const [first = '', ...more] = command.id.slice(prefix.length).split(':')
        const topic = more.length === 0 ? undefined : this.config.findTopic(prefix + first)
        return [first, topic?.description ?? this.render(command.summary ?? '').replace(/\.$/, '')]
      })
    return [...new Map(rows)]
  }

  #wrapped(text: string, indent = 0): string {
    return this.wrap(text, indent).replaceAll('\n', `\n${' '.repeat(indent)}`)
  }

  #print(...blocks: string[]): void {
    const text = blocks.filter((block) => block !== '').join('\n\n')
    this.log(this.#json ? JSON.stringify({ help: text }) : text)
  }
}

function flagRows(flags: Record<string, FlagText>): Array<[string, string]> {
  return Object.entries(flags)
    .filter(([, { hidden }]) => hidden !== true)
    .map(([name, flag]) => [flagText({ ...flag, name }), flag.description ?? ''])
}

function flagText({ name, char, helpValue, allowNo }: FlagText): string {
  return `${char == null ? '' : `-${char}, `}--${allowNo === true ? '[no-]' : ''}${name}${helpValue == null ? '' : ` ${helpValue}`}`
}

function argumentText(name: string, { required, multiple }: { required?: boolean; multiple?: boolean }): string {
  const text = `${name.toUpperCase()}${multiple === true ? '...' : ''}`
  return required === true ? text : `[${text}]`
}
