import { styleText } from 'node:util'
import { quote } from 'shell-quote'
import type { RunningNode, Workspace } from './workspace.ts'

const WIDTH = 80
const INDENT = '   '

type Style = Parameters<typeof styleText>[0]

/** Tells what happens on stdout, in at most 80 columns, and runs commands, each shown as a user would type it. */
export class Stage {
  readonly #workspace: Workspace
  /** What stands for a long text in the commands that are shown: the shell variables of the text above them. */
  readonly #names = new Map<string, string>()

  constructor(workspace: Workspace) {
    this.#workspace = workspace
    this.#names.set(workspace.folder, '$DIR')
    say(`${INDENT}DIR=${workspace.folder}`, 'cyan')
  }

  scene(title: string, ...lines: string[]): void {
    say(`\n${title}`, 'bold')
    this.tell(...lines)
  }

  tell(...lines: string[]): void {
    for (const line of lines) {
      say(INDENT + line)
    }
  }

  /** What was just seen to be so. */
  saw(...lines: string[]): void {
    for (const line of lines) {
      say(`${INDENT}> ${this.short(line)}`, 'green')
    }
  }

  /** `subnet start …` on any free loopback port; gives the node once it is ready. */
  async start(name: string, args: string[]): Promise<RunningNode> {
    const home = this.#workspace.path(name.toLowerCase())
    const all = ['start', '--home', home, '--listen', '/ip4/127.0.0.1/tcp/0', ...args]
    this.show(all)
    return this.#workspace.start(`The node of ${name}`, all)
  }

  /** From now on this peer's ID is `$NAME` in commands, and its address `$AT_NAME`. */
  introduce(name: string, { peerId, multiaddr }: RunningNode): void {
    say(`${INDENT}${name}=${peerId}`, 'cyan')
    this.#names.set(peerId, `$${name}`)
    say(`${INDENT}AT_${name}=${this.short(multiaddr)}`, 'cyan')
    // before the ID, which is a part of it
    const names = [...this.#names]
    this.#names.clear()
    for (const [long, short] of [[multiaddr, `$AT_${name}`] as const, ...names]) {
      this.#names.set(long, short)
    }
  }

  /** Runs a command that answers in JSON. */
  async command<Answer>(args: string[]): Promise<{ answer: Answer; ms: number }> {
    this.show(args)
    const { stdout, ms } = await this.#workspace.run([...args, '--json'])
    return { answer: JSON.parse(stdout.toString()), ms }
  }

  show(args: string[]): void {
    const words = args.map((word) => {
      const shortened = this.short(word)
      return shortened === word ? quote([word]) : shortened
    })
    say(wrap(['subnet', ...words]), 'cyan')
  }

  /** The text, with the variables in place of what they stand for. */
  short(text: string): string {
    return [...this.#names].reduce((shortened, [long, name]) => shortened.replaceAll(long, name), text)
  }
}

export function say(text = '', style?: Style): void {
  process.stdout.write(`${style == null ? text : styleText(style, text)}\n`)
}

/** A command line, on as many rows as it needs; a flag stays with its value. */
function wrap(words: string[]): string {
  const parts: string[] = []
  for (const word of words) {
    const last = parts.at(-1)
    if (last != null && /^--\S+$/.test(last) && !word.startsWith('--')) {
      parts[parts.length - 1] = `${last} ${word}`
    } else {
      parts.push(word)
    }
  }
  const rows = [`${INDENT}$`]
  for (const part of parts) {
    const row = rows.at(-1) as string
    // two columns for the space and the backslash at its end
    if (row.length + 1 + part.length + 2 <= WIDTH) {
      rows[rows.length - 1] = `${row} ${part}`
    } else {
      rows.push(`${INDENT}    ${part}`)
    }
  }
  return rows.join(' \\\n')
}
