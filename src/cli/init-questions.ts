import { checkChain } from '../chain/chain-url.ts'
import { handlerProblem, loadHandler } from '../node/handlers/task-handlers.ts'
import { kebab, SETTINGS, type Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { describeSettings, type LoadedSettings, withFlags } from '../node/home/load-settings.ts'
import { describeError } from '../primitives/errors.ts'
import { isSharedLedger } from './findable.ts'
import { type AskedSetting, INIT_SETTINGS, QUESTIONS } from './init-settings.ts'
import { confirm, input } from './text/prompt.ts'

const NOTHING = 'none'

/** Asks for each setting without a flag; the effective value is the default answer. @throws Interrupted */
export async function askSettings(loaded: LoadedSettings, home: Home, signal: AbortSignal): Promise<Settings> {
  let result = loaded
  for (const name of INIT_SETTINGS) {
    // publishing elsewhere is useless, or costs a fee
    if (loaded.sources[name] === 'flag' || (name === 'publish' && !isSharedLedger(result.settings.chain, home))) {
      continue
    }
    if (SETTINGS[name].isSwitch === true) {
      result = withFlags(result, { [name]: await confirm(QUESTIONS[name], signal, likely(loaded, name)) })
      continue
    }
    const { value } = describeSettings(loaded)[name]
    const shown = [value ?? []].flat().join(',') || NOTHING
    const before = result
    const answered = (text: string): LoadedSettings => (text === shown ? before : withAnswer(before, name, text))
    const check = async (text: string): Promise<true | string> =>
      (await problemOf(async () => checkUse(answered(text).settings)))?.replace(`--${kebab(name)}: `, '') ?? true
    const answer = await input(QUESTIONS[name], { fallback: shown, check, signal })
    result = answered(answer)
  }
  return result.settings
}

/** The default answer to a yes-or-no question. A chain that the user names is meant for publishing. */
function likely({ settings, sources }: LoadedSettings, name: AskedSetting): boolean {
  return settings[name] === true || (name === 'publish' && sources.publish === 'default')
}

function withAnswer({ settings, sources }: LoadedSettings, name: AskedSetting, text: string): LoadedSettings {
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

/** Rejects settings that "start" would reject. @throws UsageError */
export async function checkUse({ handler, chain, taskTimeout, maxFrameBytes }: Settings): Promise<void> {
  checkChain(chain)
  if (handler != null) {
    await loadHandler(handler, { timeoutMs: taskTimeout, maxOutputBytes: maxFrameBytes })
  }
}

/** Describes a problem with the handler's program that "start" would only report. */
export async function handlerNotice({ handler }: Settings): Promise<string | undefined> {
  const problem = handler == null ? undefined : await handlerProblem(handler)
  return problem == null ? undefined : `warning: ${problem}`
}
