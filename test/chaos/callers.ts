import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Account, Told } from './account.ts'
import type { ChaosNode } from './chaos-node.ts'
import { Dice } from './dice.ts'
import { type Ended, SubnetProcess } from './processes.ts'

const TASK_TIMEOUT = '20s'
const BATCH = { least: 20, most: 120 }
/** One payload in so many is large: it goes in pieces. */
const LARGE_EVERY = 12
const SMALL_BYTES = 20
const LARGE_BYTES = 200_000
const SLOW_EVERY = 8
/** One command in so many is killed on its way. */
const KILLED_EVERY = 12
const KILLED_WITHIN_MS = 3_000
/** Codes of errors before anything is sent: no word on whether the peer acted is needed. */
const BEFORE = new Set(['PEER_NOT_FOUND', 'USAGE', 'ALREADY_RUNNING', 'PROTOCOL_UNSUPPORTED', 'CHAIN_UNAVAILABLE'])

interface Task {
  peer: string
  taskId: string
  text: string
}

interface TaskJson {
  taskId?: string
  accepted?: boolean
  resultBase64?: string
  error?: { code: string; message: string } | null
}

/** Where a command runs: in the home of a node, or in one of its own. */
type Place = 'attached' | 'own'

export interface CallersOptions {
  nodes: ChaosNode[]
  account: Account
  folder: string
  config: object
  seed: number
  signal: AbortSignal
}

/** Callers who send tasks all the time, each with one command at a time. */
export class Callers {
  readonly #options: CallersOptions
  readonly #dice: Dice
  #count = 0
  /** How often a task failed with which code. */
  readonly codes = new Map<string, number>()
  /** The milliseconds from the start to the end of each command whose one task failed. */
  readonly failedAfterMs: number[] = []
  /** Commands that ended as a bug does. */
  readonly complaints: string[] = []

  constructor(options: CallersOptions) {
    this.#options = options
    this.#dice = new Dice(options.seed)
  }

  /** Until the signal. */
  async run(): Promise<void> {
    await Promise.all([
      this.#loop('one', 'attached', 11),
      this.#loop('one', 'own', 12),
      this.#loop('batch', 'attached', 13),
      this.#loop('batch', 'own', 14),
    ])
  }

  /** One task from this node to each other, again for those that fail. Gives those that it does not reach in time. */
  async unreached(from: ChaosNode, withinMs: number): Promise<ChaosNode[]> {
    const giveUpAtMs = performance.now() + withinMs
    let left = this.#options.nodes.filter((node) => node !== from)
    do {
      const tasks = left.map((node) => this.#task(node, this.#dice))
      const outcomes = await this.#sendBatch(from.home, from, tasks)
      left = left.filter((_, index) => outcomes.get(tasks[index]?.taskId ?? '') !== true)
    } while (left.length > 0 && performance.now() < giveUpAtMs)
    return left
  }

  async #loop(kind: 'one' | 'batch', place: Place, row: number): Promise<void> {
    const { folder, config, nodes, seed, signal } = this.#options
    const dice = new Dice(seed + row)
    const own = join(folder, `caller-${row}`)
    await mkdir(own, { recursive: true, mode: 0o700 })
    const bootstrap = nodes.slice(0, 3).map(({ multiaddr }) => multiaddr)
    await writeFile(join(own, 'config.json'), JSON.stringify({ ...config, bootstrap }))
    while (!signal.aborted) {
      const node = dice.pick(nodes)
      const home = place === 'attached' ? node.home : own
      await (kind === 'one' ? this.#one(home, node, dice) : this.#batch(home, node, dice))
    }
  }

  async #one(home: string, node: ChaosNode, dice: Dice): Promise<void> {
    const task = this.#task(this.#other(node, dice), dice)
    const startedAtMs = performance.now()
    const command = this.#sendOne(home, node, task)
    const ended = await this.#toEnd(command, dice)
    if (ended.code !== 0 && command.told == null) {
      this.failedAfterMs.push(performance.now() - startedAtMs)
    }
    this.#report(task.taskId, parsed(ended.stdout.split('\n')[0]), command.told != null, ended)
  }

  async #batch(home: string, node: ChaosNode, dice: Dice): Promise<void> {
    const size = Math.floor(dice.between(BATCH.least, BATCH.most))
    const tasks = Array.from({ length: size }, () => this.#task(this.#other(node, dice), dice))
    await this.#sendBatch(home, node, tasks, dice)
  }

  /** Gives which of them were accepted. @param dice whether the command is killed on its way */
  async #sendBatch(home: string, node: ChaosNode, tasks: Task[], dice?: Dice): Promise<Map<string, boolean>> {
    const stdin = tasks.map((task) => `${JSON.stringify(task)}\n`).join('')
    const command = this.#launch(home, node, ['send-task', '--batch', '-', '--concurrency', '16'], stdin)
    const ended = dice == null ? await command.ended : await this.#toEnd(command, dice)
    const missing = new Map(tasks.map((task) => [task.taskId, task]))
    const accepted = new Map<string, boolean>()
    let failure: TaskJson | undefined
    for (const line of ended.stdout.split('\n').filter((text) => text !== '')) {
      const answer = parsed(line)
      if (answer?.taskId == null && answer?.error != null) {
        // the command failed before it came to the other tasks
        failure = answer
      }
      const taskId = answer?.taskId ?? ''
      if (answer != null && tasks.some((task) => task.taskId === taskId)) {
        this.#report(taskId, answer, false, ended)
        accepted.set(taskId, answer.accepted === true)
        missing.delete(taskId)
      }
    }
    for (const taskId of missing.keys()) {
      this.#report(taskId, failure, command.told != null, ended)
    }
    return accepted
  }

  #task(worker: ChaosNode, dice: Dice): Task {
    const { account } = this.#options
    const taskId = `task-${++this.#count}`
    const kind = dice.oneIn(SLOW_EVERY) ? 'slow' : 'quick'
    const text = `${kind} ${taskId} `.padEnd(dice.oneIn(LARGE_EVERY) ? LARGE_BYTES : SMALL_BYTES, 'x')
    const task = { peer: worker.peerId, taskId, text }
    account.sent(taskId, worker.index, Buffer.from(text))
    return task
  }

  #other(node: ChaosNode, dice: Dice): ChaosNode {
    return dice.pick(this.#options.nodes.filter((one) => one !== node))
  }

  #sendOne(home: string, node: ChaosNode, { peer, taskId, text }: Task): SubnetProcess {
    return this.#launch(home, node, ['send-task', peer, '--task-id', taskId, '--payload', '-'], text)
  }

  #launch(home: string, node: ChaosNode, args: string[], stdin: string): SubnetProcess {
    return new SubnetProcess({ home, within: node.within, stdin, args: [...args, '--json', '--timeout', TASK_TIMEOUT] })
  }

  /** Kills some of them on their way. */
  async #toEnd(command: SubnetProcess, dice: Dice): Promise<Ended> {
    if (dice.oneIn(KILLED_EVERY)) {
      await Promise.race([command.ended, delay(dice.between(0, KILLED_WITHIN_MS))])
      if (command.child.exitCode == null && command.child.signalCode == null) {
        command.signal('SIGKILL')
      }
    }
    return command.ended
  }

  /** @param answer what the command printed of it, if anything */
  #report(taskId: string, answer: TaskJson | undefined, killed: boolean, { code, stdout, stderr }: Ended): void {
    const { account } = this.#options
    if (answer?.accepted === true) {
      account.reported(taskId, 'accepted', { result: Buffer.from(answer.resultBase64 ?? '', 'base64') })
      return
    }
    if (answer?.error == null) {
      if (killed) {
        account.reported(taskId, 'unknown')
      } else {
        this.#complain(
          `${taskId}: its command ended with ${code} and told nothing of it: ${stderr.trim().slice(-300)} ${stdout.trim().slice(-300)}`,
        )
      }
      return
    }
    const { error } = answer
    this.codes.set(error.code, (this.codes.get(error.code) ?? 0) + 1)
    if (error.code === 'INTERNAL') {
      this.#complain(`${taskId}: ${error.message}`)
    }
    const told = toldBy(error)
    if (told == null) {
      this.#complain(`${taskId}: whether the peer may have acted is not said: ${error.code}: ${error.message}`)
    }
    account.reported(taskId, told ?? 'may have acted', { why: `${error.code}: ${error.message}` })
  }

  #complain(what: string): void {
    this.complaints.push(what)
  }
}

/** What an error says of whether the peer acted; undefined where it must say so and does not. */
function toldBy({ code, message }: { code: string; message: string }): Told | undefined {
  if (message.includes('may have acted') || code === 'TASK_REJECTED') {
    return 'may have acted'
  }
  if (message.includes('has not acted') || BEFORE.has(code)) {
    return 'not acted'
  }
  // no connection, and so no request
  return code === 'UNREACHABLE' || code === 'NOT_ADMITTED' || code === 'LIMIT_EXCEEDED' ? 'not acted' : undefined
}

function parsed(line: string | undefined): TaskJson | undefined {
  try {
    return JSON.parse(line ?? '')
  } catch {
    // it was killed half-way
    return undefined
  }
}
