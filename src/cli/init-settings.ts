import type { SettingName } from '../node/home/config.ts'

/** The questions of `init`, in order. */
export const QUESTIONS = {
  listen: 'Where to listen (multiaddrs, separated by commas)',
  subnetId: 'Which subnet',
  network: "Which network (native, or template: of Hypertensor's template)",
  chain: 'Which chain (ledger:, ledger:/path/file.db or hypertensor:ws://host:port)',
  publish: 'Publish the addresses of this node on the chain?',
  bootstrap: 'Peers to connect to first (multiaddrs, separated by commas)',
  mdns: 'Find peers on the local network?',
  handler: 'What answers tasks (echo, upper, exec:COMMAND, sh:COMMAND or a module file)',
} satisfies Partial<Record<SettingName, string>>

/** A setting that `init` asks for. */
export type AskedSetting = keyof typeof QUESTIONS

/** The settings a new node needs first. */
export const INIT_SETTINGS = Object.keys(QUESTIONS) as AskedSetting[]
