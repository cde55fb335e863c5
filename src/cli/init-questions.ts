import { describeSettings, type LoadedSettings, type SettingName, type Settings, withFlags } from '../node/config.ts'
import { describeError } from '../primitives/errors.ts'
import { input } from './prompt.ts'

const NOTHING = 'none'

const QUESTIONS = {
  listen: 'Where to listen (multiaddrs, with commas between)',
  subnetId: 'Which subnet',
  chain: 'Which chain (ledger:, ledger:/path/file.db)',
  bootstrap: 'Peers to connect to first (multiaddrs, with commas between)',
  handler: 'What answers tasks (echo, upper, exec:COMMAND, sh:COMMAND or a module file)',
} satisfies Partial<Record<SettingName, string>>

type Asked = keyof typeof QUESTIONS

/** What a node needs to know first. */
export const INIT_SETTINGS = Object.keys(QUESTIONS) as Asked[]

/** Asks for each of them that no flag gave, with what is in effect as the default. @throws Interrupted */
export async function askSettings(loaded: LoadedSettings): Promise<Settings> {
  let result = loaded
  for (const name of INIT_SETTINGS) {
    if (loaded.sources[name] === 'flag') {
      continue
    }
    const { value } = describeSettings(loaded)[name]
    const shown = [value ?? []].flat().join(',') || NOTHING
    const answered = (text: string): LoadedSettings => (text === shown ? result : withAnswer(result, name, text))
    const answer = await input(QUESTIONS[name], shown, (text) => problemOf(() => answered(text)) ?? true)
    result = answered(answer)
  }
  return result.settings
}

function withAnswer({ settings, sources }: LoadedSettings, name: Asked, text: string): LoadedSettings {
  const list = name === 'listen' || name === 'bootstrap'
  if (text.trim() === NOTHING && (list || name === 'handler')) {
    return { settings: { ...settings, [name]: list ? [] : undefined }, sources }
  }
  const value = list ? text.split(',').map((item) => item.trim()) : text.trim()
  return withFlags({ settings, sources }, { [name]: value })
}

function problemOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return describeError(error)
  }
}
