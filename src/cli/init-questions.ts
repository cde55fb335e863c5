import { checkChain } from '../chain/chain-url.ts'
import { loadHandler } from '../node/handlers/task-handlers.ts'
import { describeSettings, type LoadedSettings, type SettingName, type Settings, withFlags } from '../node/home/config.ts'
import { describeError } from '../primitives/errors.ts'
import { input } from './text/prompt.ts'

const NOTHING = 'none'

const QUESTIONS = {
  listen: 'Where to listen (multiaddrs, with commas between)',
  subnetId: 'Which subnet',
  network: "Which network (native, or template: of Hypertensor's template)",
  chain: 'Which chain (ledger:, ledger:/path/file.db)',
  bootstrap: 'Peers to connect to first (multiaddrs, with commas between)',
  handler: 'What answers tasks (echo, upper, exec:COMMAND, sh:COMMAND or a module file)',
} satisfies Partial<Record<SettingName, string>>

type Asked = keyof typeof QUESTIONS

/** What a node needs to know first. */
export const INIT_SETTINGS = Object.keys(QUESTIONS) as Asked[]

/** Asks for each of them that no flag gave, with what is in effect as the default. @throws Interrupted */
export async function askSettings(loaded: LoadedSettings, signal: AbortSignal): Promise<Settings> {
  let result = loaded
  for (const name of INIT_SETTINGS) {
    if (loaded.sources[name] === 'flag') {
      continue
    }
    const { value } = describeSettings(loaded)[name]
    const shown = [value ?? []].flat().join(',') || NOTHING
    const before = result
    const answered = (text: string): LoadedSettings => (text === shown ? before : withAnswer(before, name, text))
    const check = async (text: string): Promise<true | string> => (await problemOf(async () => checkUse(answered(text).settings))) ?? true
    const answer = await input(QUESTIONS[name], { fallback: shown, check, signal })
    result = answered(answer)
  }
  return result.settings
}

function withAnswer({ settings, sources }: LoadedSettings, name: Asked, text: string): LoadedSettings {
  const list = name === 'listen' || name === 'bootstrap'
  if (text.trim() === NOTHING && (name === 'bootstrap' || name === 'handler')) {
    return { settings: { ...settings, [name]: list ? [] : undefined }, sources }
  }
  const items = text.split(',').map((item) => item.trim())
  const value = list ? items.filter((item) => item !== '') : text.trim()
  return withFlags({ settings, sources }, { [name]: value })
}

async function problemOf(work: () => Promise<unknown>): Promise<string | undefined> {
  return work().then(() => undefined, describeError)
}

/** What "start" would refuse is refused here. @throws UsageError */
export async function checkUse({ handler, chain, taskTimeout, maxFrameBytes }: Settings): Promise<void> {
  checkChain(chain)
  if (handler != null) {
    await loadHandler(handler, { timeoutMs: taskTimeout, maxOutputBytes: maxFrameBytes })
  }
}
