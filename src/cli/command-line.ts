import type { Config } from '@oclif/core/config'

/** The spellings of oclif's `--version`. */
const VERSION = ['version', '-v', '--version']
const HELP = ['help', '-h', '--help']
/** A command that has every common flag. */
const HAS_ALL = 'start'

/** Rewrites a command line for oclif: common flags move behind the command, and `help` and `version` become flags. */
export function commandLine(argv: string[], config: Config): string[] {
  const count = leadingFlags(argv, config)
  const leading = argv.slice(0, count)
  const [first = '', ...rest] = argv.slice(count)
  if (VERSION.includes(first)) {
    return ['--version', ...leading, ...rest]
  }
  if (HELP.includes(first)) {
    // help knows only this common flag
    return [...rest, '--help', ...leading.filter((flag) => flag === '--json')]
  }
  return first === '' ? argv : behindCommand([first, ...rest], leading, config)
}

/** The answer of `--version --json`. */
export function jsonVersion({ version, userAgent }: Config): string {
  return JSON.stringify({ version, agent: userAgent })
}

/** The number of leading words that are common flags and their values. */
function leadingFlags(argv: string[], config: Config): number {
  const flags = config.findCommand(HAS_ALL)?.flags ?? {}
  let at = 0
  for (;;) {
    const [, name = '', value] = /^--([\w-]+)(=.*)?$/s.exec(argv[at] ?? '') ?? []
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined
    if (flag == null || flag.helpGroup !== 'GLOBAL') {
      return at
    }
    at += flag.type === 'option' && value == null ? 2 : 1
  }
}

function behindCommand(words: string[], flags: string[], config: Config): string[] {
  let length = Math.min(2, words.length)
  while (length > 0 && config.findCommand(words.slice(0, length).join(':')) == null) {
    length--
  }
  const dashes = words.indexOf('--')
  const end = dashes < 0 ? words.length : dashes
  return words.toSpliced(length === 0 ? end : length, 0, ...flags)
}
