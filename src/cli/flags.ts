import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { FlagInput } from '@oclif/core/interfaces'
import { kebab, SETTING_NAMES, SETTINGS, type SettingName, shownDefault } from '../node/home/config.ts'

/** Where a command takes a `<peer>`: without one it asks. */
export const peerArg = Args.string({
  ignoreStdin: true,
  description: 'a peer ID or its short form, an alias, or MULTIADDR/p2p/<peer ID>',
})

/** Where a command takes a protocol of a peer. */
export const protocolArg = Args.string({ ignoreStdin: true, description: 'a protocol id, as /example/greet/1.0.0' })

type FlagGroup = NonNullable<(typeof SETTINGS)[SettingName]['flag']>['on']

/** The groups of help. The flags of `start` alone stand among its own. */
const HELP_GROUPS = { CHAIN: 'NODE', NODE: 'NODE', START: undefined, SERVING: 'SERVING', GLOBAL: 'GLOBAL' } satisfies Record<
  FlagGroup,
  string | undefined
>

/** The flags of settings. Their values stay texts: what they mean is said where the settings are declared. */
export function flagsOf(names: readonly SettingName[]): FlagInput {
  return Object.fromEntries(names.map((name) => [kebab(name), flagOf(name)]))
}

/** @param grouped false for a flag that stands among the command's own in help */
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

/** On every command. */
export const commonFlags = {
  home: Flags.string({ helpValue: 'DIR', helpGroup: 'GLOBAL', description: 'the directory of this node [env: SUBNET_HOME]' }),
  ...flagsOn('GLOBAL'),
  color: Flags.boolean({ allowNo: true, default: true, hidden: true }),
  'no-color': Flags.boolean({ helpGroup: 'GLOBAL', description: 'no colours' }),
}

/** On commands that need the identity of a node alone. */
export const keyFlag = flagsOf(['key'])

/** On commands that need the chain or the identity of a node. */
export const chainFlags = flagsOn('CHAIN')

const YES = { char: 'y', description: "pay the chain's fee without being asked" } as const

/** On commands that change a chain where that costs a fee. */
export const payingFlags = { 'owner-key': flagOf('ownerKey', false), yes: Flags.boolean(YES) }

/** On every command that may run a node. */
export const nodeFlags = { ...flagsOf(['bootstrap']), ...chainFlags, ...flagsOn('NODE') }

/** What a node is told before it runs. */
export const startFlags = flagsOn('START')

/** What a node that runs is seldom told. */
export const servingFlags = {
  ...flagsOn('SERVING'),
  'no-repl': Flags.boolean({ helpGroup: 'SERVING', description: 'only run the node, on a terminal too' }),
  yes: Flags.boolean({ ...YES, helpGroup: 'SERVING' }),
}

/** On commands that write a key. */
export const forceFlag = Flags.boolean({ description: 'replace a file that is there: the peer ID of its key is lost' })
