import { stat } from 'node:fs/promises'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { flagsOf } from '../cli/flags.ts'
import { INIT_SETTINGS } from '../cli/init-settings.ts'
import { describeKey } from '../cli/key-file.ts'
import { describeNext, nextCommands } from '../cli/next-commands.ts'
import { Declined, Interrupted } from '../cli/text/report.ts'
import type { RawSettings } from '../node/home/config.ts'
import { shownSettings, updateConfigFile } from '../node/home/config-file.ts'
import { ensureHome } from '../node/home/home.ts'
import { loadIdentity } from '../node/home/identity.ts'
import { UsageError } from '../primitives/errors.ts'

export default class Init extends BaseCommand {
  static override summary = 'Ask for the first settings of a node and write them to config.json.'
  static override description = 'Each question has a default and a flag; a given flag skips its question. Also creates the identity key.'
  static override examples = [
    '<%= config.bin %> init',
    '<%= config.bin %> init --yes --chain ledger:/tmp/subnet.db --publish --handler echo',
  ]
  static override flags = {
    ...flagsOf(INIT_SETTINGS),
    yes: Flags.boolean({ char: 'y', description: 'ask nothing; use defaults where no flag is given' }),
    force: Flags.boolean({ description: 'change an existing config.json' }),
  }

  async run(): Promise<{ home: string; config: string; peerId: string; settings: RawSettings }> {
    const { flags } = await this.parse(Init)
    const { home } = this
    await ensureHome(home)
    const asks = this.canAsk && !flags.yes
    if (!flags.force) {
      await this.#mayChange(home.configFile, asks)
    }
    const { askSettings, checkUse, handlerNotice } = await import('../cli/init-questions.ts')
    const { HIDDEN, isHidden, isSharedLedger } = await import('../cli/findable.ts')
    const loaded = { settings: this.settings, sources: this.sources }
    const settings = asks ? await this.ask(async () => askSettings(loaded, home, this.interrupted.signal)) : this.settings
    await checkUse(settings)
    this.notice(await handlerNotice(settings))
    const { peerId } = describeKey(await loadIdentity(home, settings.key, { timeoutMs: settings.timeout }), home.identityFile)
    const written = shownSettings(await updateConfigFile(home, settings, INIT_SETTINGS))
    // a line of JSON has no blanks to wrap at
    this.log(
      process.stdout.isTTY
        ? `${home.configFile}\n${JSON.stringify(written, undefined, 2)}`
        : `${home.configFile}  ${JSON.stringify(written)}`,
    )
    this.logToStderr(`this peer is ${peerId}; "subnet start" runs its node, "subnet config" shows all settings`)
    this.notice(isHidden(settings, home) ? `warning: ${HIDDEN.message}; ${HIDDEN.hint}` : undefined)
    await this.tellOfRestart()
    if (this.canAsk && this.shell == null) {
      // a flag must be repeated in the next commands; an environment variable still applies
      const named = flags.home == null ? undefined : home.path
      const byId = settings.publish && isSharedLedger(settings.chain, home)
      // a command that is copied must not be wrapped
      process.stderr.write(`${describeNext(nextCommands({ bin: this.config.bin, home: named, settings, peerId, byId }))}\n`)
    }
    return { home: home.path, config: home.configFile, peerId, settings: written }
  }

  protected override async catch(error: Error): Promise<void> {
    if (error instanceof Interrupted) {
      this.tell('cancelled: no setting was written')
    }
    await super.catch(error)
  }

  /** @throws UsageError if an existing config must stay */
  async #mayChange(file: string, asks: boolean): Promise<void> {
    if ((await stat(file).catch(() => undefined)) == null) {
      return
    }
    if (!asks || this.confirm == null) {
      throw new UsageError(`there is a config already: ${file}`, {
        hint: '--force changes it; settings without a question keep their values',
      })
    }
    if (!(await this.confirm(`Change ${file}? Settings without a question keep their values.`))) {
      throw new Declined(`${file} was left as it is`)
    }
  }
}
