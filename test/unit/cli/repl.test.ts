import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { Repl, type ReplInit } from '../../../src/cli/repl/repl.ts'

const CTRL_D = '\x04'

/** A terminal, as a process has it, that notes whether it passes each key on at once. */
class FakeTerminal extends PassThrough {
  readonly isTTY = true
  isRaw = false

  setRawMode(isRaw: boolean): this {
    this.isRaw = isRaw
    return this
  }
}

describe('the shell of a node', () => {
  const { stdin } = process
  const { write } = process.stdout
  let terminal: FakeTerminal

  beforeEach(() => {
    terminal = new FakeTerminal()
    Object.defineProperty(process, 'stdin', { value: terminal, configurable: true })
  })

  afterEach(() => {
    Object.defineProperty(process, 'stdin', { value: stdin, configurable: true })
    process.stdout.write = write
  })

  it('takes keys again before it says what Ctrl-D waits for', async () => {
    const isRaw = Promise.withResolvers<boolean>()
    process.stdout.write = (text: unknown) => {
      if (String(text).includes('the node stops after this command')) {
        isRaw.resolve(terminal.isRaw)
      }
      return true
    }
    const running = Promise.withResolvers<void>()
    const line = Promise.withResolvers<void>()
    const repl = new Repl({
      runner: {
        run: async () => {
          running.resolve()
          await line.promise
        },
      },
      config: {},
      session: {},
      history: { lines: [], add: () => undefined, written: async () => undefined },
    } as unknown as ReplInit)
    const ended = repl.run(new AbortController().signal)
    terminal.write('anything\r')
    await running.promise
    terminal.write(CTRL_D)
    await isRaw.promise
    line.resolve()
    await ended
    // the reporter writes there too
    process.stdout.write = write
    assert.equal(await isRaw.promise, true)
  })
})
