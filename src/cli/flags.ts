import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { FlagInput } from '@oclif/core/interfaces'
import { kebab, type RawSettings, SETTING_NAMES, SETTINGS, type SettingName, shownDefault } from '../node/home/config.ts'

/** The argument for a peer. Without it, the command asks. */
export const peerArg = Args.string({
  ignoreStdin: true,
  description: 'a peer ID or its short form, an alias, or MULTIADDR/p2p/<peer ID>',
})

/** The argument for a protocol of a peer. */
export const protocolArg = Args.string({ ignoreStdin: true, description: 'a protocol ID, such as /example/greet/1.0.0' })

type FlagGroup = NonNullable<(typeof SETTINGS)[SettingName]['flag']>['on']

/** The help group of each kind of setting. Settings of `start` alone are listed with its own flags. */
const HELP_GROUPS = { CHAIN: 'NODE', NODE: 'NODE', START: undefined, SERVING: 'SERVING', GLOBAL: 'GLOBAL' } satisfies Record<
  FlagGroup,
  string | undefined
>

/** The flags of settings. Their values stay texts, which the declarations of the settings parse. */
export function flagsOf(names: readonly SettingName[]): FlagInput {
  return Object.fromEntries(names.map((name) => [kebab(name), flagOf(name)]))
}

/** @param grouped false for a flag that help lists with the command's own flags */
function flagOf(name: SettingName, grouped = true): FlagInput[string] {
  const { flag, list, isSwitch, fallback } = SETTINGS[name]
  if (flag == null) {
    throw new TypeError(`the setting ${name} has no flag`)
  }
  const description = flag.help.replace('{default}', `[default: ${shownDefault(name)}]`)
  const helpGroup = grouped ? HELP_GROUPS[flag.on] : undefined
  const common = { description, ...(helpGroup == null ? {} : { helpGroup }) }
  if (isSwitch === true) {
    return Flags.boolean({ ...common, ...(fallback === true ? { allowNo: true } : {}) })
  }
  const { value } = flag
  const option = { ...common, ...(value == null ? {} : { helpValue: value }) }
  return list === true ? Flags.string({ ...option, multiple: true, multipleNonGreedy: true }) : Flags.string(option)
}

function flagsOn(group: FlagGroup): FlagInput {
  return flagsOf(SETTING_NAMES.filter((name) => SETTINGS[name].flag?.on === group))
}

/** Settings from the flags of a command line. */
export function settingsOf(flags: Record<string, unknown>): RawSettings {
  const entries = Object.entries(flags).map(([name, value]) => [
    name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return Object.fromEntries(entries)
}

/** Flags of every command. */
export const commonFlags = {
  home: Flags.string({ helpValue: 'DIR', helpGroup: 'GLOBAL', description: 'the directory of this node [env: SUBNET_HOME]' }),
  ...flagsOn('GLOBAL'),
  color: Flags.boolean({ allowNo: true, default: true, hidden: true }),
  'no-color': Flags.boolean({ helpGroup: 'GLOBAL', description: 'no colours' }),
}

/** Flags of commands that need only the identity of a node. */
export const keyFlag = flagsOf(['key'])

/** Flags of commands that need the chain or the identity of a node. */
export const chainFlags = flagsOn('CHAIN')

const YES = { char: 'y', description: "pay the chain's fee without being asked" } as const

/** Flags of commands that change the chain, which may cost a fee. */
export const payingFlags = { 'owner-key': flagOf('ownerKey', false), yes: Flags.boolean(YES) }

/** Flags of every command that may run a node. */
export const nodeFlags = { ...flagsOf(['bootstrap']), ...chainFlags, ...flagsOn('NODE') }

/** Flags that configure a node before its start. */
export const startFlags = flagsOn('START')

/** Flags of `start` that are seldom needed. */
export const servingFlags = {
  ...flagsOn('SERVING'),
  'no-repl': Flags.boolean({ helpGroup: 'SERVING', description: 'run without a shell, even on a terminal' }),
  yes: Flags.boolean({ ...YES, helpGroup: 'SERVING' }),
}

/** The flag of commands that write a key. */
export const forceFlag = Flags.boolean({ description: 'replace an existing file; the peer ID of its key is lost' })
