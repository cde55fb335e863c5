import { ProcessError } from './workspace.ts'

/**
 * Runs a program whose waits end when it is interrupted or runs out of time. What it holds is released before the process
 * ends: with 1 and a plain sentence after a failure, by the signal that interrupted it otherwise.
 */
export async function interruptible(name: string, timeoutMs: number, program: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController()
  let received: NodeJS.Signals | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    received = signal
    interrupted.abort(new Error(`interrupted by ${signal}`))
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) {
    process.on(signal, onSignal)
  }
  const tooLong = setTimeout(() => interrupted.abort(new Error(`not done after ${timeoutMs / 1_000} s`)), timeoutMs)
  try {
    await program(interrupted.signal)
  } catch (error) {
    process.exitCode = 1
    if (received == null) {
      report(name, error)
    }
  } finally {
    clearTimeout(tooLong)
    for (const signal of signals) {
      process.off(signal, onSignal)
    }
  }
  if (received != null) {
    process.kill(process.pid, received)
  }
}

function report(name: string, error: unknown): void {
  process.stderr.write(`\n${name} failed: ${error instanceof Error ? error.message : String(error)}\n`)
  if (error instanceof ProcessError && error.output !== '') {
    process.stderr.write(`The process wrote:\n${error.output.replace(/^/gm, '  ')}\n`)
  }
}
