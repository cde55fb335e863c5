import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')
/** A command that takes longer hangs, however busy the machine is. */
const HANGS_AFTER_MS = 90_000
const STOPS_WITHIN_MS = 5_000

/** How a command ended, and what it printed. */
export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * Gives a folder a node_modules as if this package (built: it has a dist/) and all that its own repository has were installed there,
 * without a network. Nothing else of the folder is touched. `root` is that of another version of the package.
 */
export async function linkedProject(folder: string, root = ROOT): Promise<void> {
  const from = join(ROOT, 'node_modules')
  const to = join(folder, 'node_modules')
  await mkdir(join(to, '.bin'), { recursive: true })
  const names = (await readdir(from)).filter((name) => !name.startsWith('.'))
  const programs = await readdir(join(from, '.bin'))
  await Promise.all([
    ...names.map(async (name) => symlink(join(from, name), join(to, name))),
    ...programs.map(async (name) => symlink(join(from, '.bin', name), join(to, '.bin', name))),
    symlink(root, join(to, 'subnet-cli')),
    symlink(join(root, 'bin/run.js'), join(to, '.bin/subnet')),
  ])
}

/** Runs a bash script in a linked project, to its end. Its programs (`subnet`, `buf`, `tsc`) and Node 24 come first in PATH. */
export async function runIn(folder: string, script: string, env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Started(folder, script, env).ended
}

/** A bash script that runs on in a linked project. */
export class Started {
  readonly ended: Promise<Ran>
  readonly #child: ChildProcess
  readonly #output: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }

  constructor(folder: string, script: string, env: NodeJS.ProcessEnv = {}) {
    const own = Object.entries(process.env).filter(([name]) => !/^(SUBNET|npm)_|^NO_COLOR$|^FORCE_COLOR$|^NODE_TEST_CONTEXT$/.test(name))
    const programs = [join(folder, 'node_modules/.bin'), dirname(process.execPath)]
    const child = spawn('bash', ['-c', script], {
      cwd: folder,
      env: { ...Object.fromEntries(own), SUBNET_PORT_MAPPING: 'false', PATH: [...programs, process.env['PATH']].join(':'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // a group of its own: what the script started ends with it
      detached: true,
    })
    this.#child = child
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => this.#output[name].push(chunk))
    }
    const hangs = setTimeout(() => this.#signal('SIGKILL'), HANGS_AFTER_MS)
    this.ended = once(child, 'close').then(([code]) => {
      clearTimeout(hangs)
      return { code, stdout: this.#text('stdout'), stderr: this.#text('stderr') }
    })
  }

  /** Its first lines on stdout, once there are so many. */
  async lines(count: number): Promise<string> {
    for (;;) {
      const lines = this.#text('stdout').split('\n')
      if (lines.length > count) {
        return lines.slice(0, count).join('\n')
      }
      assert.ok(
        this.#child.exitCode == null,
        `it ended after ${lines.length - 1} of ${count} lines: ${lines.join('\n')}${this.#text('stderr')}`,
      )
      await Promise.race([once(this.#child.stdout ?? assert.fail(), 'data'), this.ended])
    }
  }

  async end(): Promise<void> {
    this.#signal('SIGTERM')
    const stuck = setTimeout(() => this.#signal('SIGKILL'), STOPS_WITHIN_MS)
    await this.ended
    clearTimeout(stuck)
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#child.pid != null && this.#child.exitCode == null && this.#child.signalCode == null) {
      process.kill(-this.#child.pid, signal)
    }
  }

  #text(name: 'stdout' | 'stderr'): string {
    return Buffer.concat(this.#output[name]).toString()
  }
}

/** A fenced block of a Markdown document. */
export interface CodeBlock {
  /** The first word behind the fence: ts, proto, json, yaml, sh or text. */
  language: string
  /** The rest behind it: a file's name, or `background`. */
  info: string
  code: string
  /** Where it begins, for messages. */
  line: number
}

/** All code of a Markdown document. @throws AssertionError for code that is fenced or indented in another way, so that it would be missed */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: CodeBlock | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^```(\S*) ?(.*)$/.exec(text)
    if (fence == null) {
      assert.ok(open != null || !/^ *(```|~~~)|^( {4}|\t)/.test(text), `line ${index + 1}: code that is no fenced block: ${text}`)
      if (open != null) {
        open.code += `${text}\n`
      }
    } else if (open == null) {
      open = { language: fence[1] as string, info: fence[2] as string, code: '', line: index + 1 }
      blocks.push(open)
    } else {
      open = undefined
    }
  }
  assert.equal(open, undefined, 'a block that is not closed')
  return blocks
}

/** The time in front of a line, and the one that documents show. */
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z(?= )/gm
const SHOWN_TIME = '2026-11-29T15:04:05.678Z'

export interface TryOutInit {
  markdown: string
  /** A linked project. */
  folder: string
  env?: NodeJS.ProcessEnv
  /** What the document shows, in place of what is there when it is tried out: ports. */
  placeholders?: Record<string, string>
}

/**
 * Does what a document says, in its order, and checks that it prints what the document shows:
 * - a block with a file's name is written to that file;
 * - `sh` is run; it must print, on stdout and stderr together, the `text` block that follows it, or nothing where none follows. It must fail
 *   where that has a line `error: …`, and only there. What it exports stays;
 * - `sh background` runs on until all is done; the `text` that follows is what it prints first.
 */
export async function tryOut({ markdown, folder, env = {}, placeholders = {} }: TryOutInit): Promise<void> {
  const running: Started[] = []
  let exported = 'exec 2>&1\n'
  const shown = Object.entries(placeholders)
  const toReal = (text: string): string => shown.reduce((all, [name, real]) => all.replaceAll(name, real), text)
  const toShown = (text: string): string => shown.reduce((all, [name, real]) => all.replaceAll(real, name), text).replace(TIME, SHOWN_TIME)
  const blocks = codeBlocks(markdown)
  try {
    for (const [index, { language, info, code, line }] of blocks.entries()) {
      const next = blocks[index + 1]
      const expected = next?.language === 'text' ? next.code : ''
      if (language === 'text') {
        assert.equal(blocks[index - 1]?.language, 'sh', `line ${line}: text that does not follow a command`)
      } else if (language !== 'sh') {
        assert.match(info, /^[\w./-]+$/, `line ${line}: a ${language} block needs a file's name`)
        await mkdir(dirname(join(folder, info)), { recursive: true })
        await writeFile(join(folder, info), toReal(code))
      } else if (info === 'background') {
        const started = new Started(folder, `${exported}${toReal(code)}`, env)
        running.push(started)
        const count = expected.split('\n').length - 1
        assert.ok(count > 0, `line ${line}: nothing that tells when it runs`)
        assert.equal(toShown(await started.lines(count)), expected.trimEnd(), `line ${line}: ${code}`)
      } else {
        assert.equal(info, '', `line ${line}: sh, or sh background`)
        const ran = await runIn(folder, `set -e; ${exported}${toReal(code)}`, env)
        exported += (toReal(code).match(/^export .*\n/gm) ?? []).join('')
        assert.equal(toShown(ran.stdout), expected, `line ${line}: ${code}`)
        assert.equal(ran.code !== 0, /^error: /m.test(expected), `line ${line}: ${code} ended with ${ran.code}`)
      }
    }
  } finally {
    await Promise.all(running.map(async (started) => started.end()))
  }
}

/** A port that is free now, below those that the system gives to others. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (free) {
      await new Promise((resolve) => server.close(resolve))
      return port
    }
  }
}
