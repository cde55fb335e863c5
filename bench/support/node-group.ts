import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { GossipTraffic } from './gossip-traffic.ts'
import type { Latencies } from './measure.ts'
import { ProcessError } from './workspace.ts'

/** What a process with nodes can be asked. */
export interface GroupQuestions {
  /** Starts a node for each list of bootstraps; gives their addresses. */
  start: { ask: { bootstraps: string[][] }; answer: string[] }
  /** Counts for so long. */
  measure: { ask: { windowMs: number }; answer: GroupFigures }
  /** Resolves all that its first node has heard. */
  resolve: { ask: undefined; answer: Latencies }
}

/** Of all nodes of a process together, over a window. */
export interface GroupFigures extends GossipTraffic {
  nodes: number
  /** Beats of its own nodes, and of others that they accepted. */
  ownBeats: number
  heardBeats: number
  /** Of the one among its nodes that sent most. */
  mostWireBytes: number
  intervalMs: number
  connections: number
  /** Resident memory, without what the process had before its first node. */
  memoryBytes: number
}

export interface Question {
  name: keyof GroupQuestions
  ask: unknown
}

export type Answer = { answer: unknown } | { error: string }

/** A process that runs several nodes. It has ended once this is disposed. */
export class NodeGroup implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #signal: AbortSignal
  #stderr = ''

  /** @param signal ends every wait */
  constructor(module: URL, args: string[], signal: AbortSignal) {
    this.#signal = signal
    this.#child = fork(module, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: ['--expose-gc'] })
    this.#child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#stderr += chunk
    })
  }

  /** One question at a time. @throws ProcessError */
  async ask<Name extends keyof GroupQuestions>(name: Name, ask: GroupQuestions[Name]['ask']): Promise<GroupQuestions[Name]['answer']> {
    this.#signal.throwIfAborted()
    const settled = new AbortController()
    const signal = AbortSignal.any([this.#signal, settled.signal])
    const ended = once(this.#child, 'close', { signal }).then(() => {
      throw new ProcessError('A process with nodes ended.', this.#stderr)
    })
    ended.catch(() => undefined)
    this.#child.send({ name, ask } satisfies Question)
    try {
      const [answer] = (await Promise.race([once(this.#child, 'message', { signal }), ended])) as [Answer]
      if ('error' in answer) {
        throw new ProcessError(`A process with nodes failed to ${name}: ${answer.error}`, this.#stderr)
      }
      return answer.answer as GroupQuestions[Name]['answer']
    } finally {
      settled.abort()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode != null || this.#child.signalCode != null) {
      return
    }
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}
