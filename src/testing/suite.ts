import { UsageError } from '../primitives/errors.ts'

/** The functions of a test runner: Mocha, Jest, Vitest, or `node:test`. */
export interface TestSuite {
  /** Groups tests. */
  describe(name: string, body: () => void): unknown
  /** Adds a test. */
  it(name: string, body: () => Promise<void>): unknown
  /** Runs before each test of the group. */
  beforeEach(body: () => Promise<void>): unknown
  /** Runs after each test of the group. */
  afterEach(body: () => Promise<void>): unknown
}

/** Skips a test that does not apply, with the reason. */
export type NotRun = (why: string) => never

/** Adds a test. */
export type EnterTest = (name: string, body: (notRun: NotRun) => Promise<void>) => void

/** The given suite, or the runner's globals. @throws UsageError if there is neither */
export function suiteOf(given: TestSuite | undefined): TestSuite & { test: EnterTest } {
  const { describe, it, beforeEach, afterEach } = given ?? (globalThis as unknown as Partial<TestSuite>)
  if (describe == null || it == null || beforeEach == null || afterEach == null) {
    throw new UsageError('there is no describe, it, beforeEach and afterEach here', {
      hint: "pass them as the last argument, for example those of 'node:test'",
    })
  }
  const test: EnterTest = (name, body) => {
    it(name, async function (this: unknown, ...[context = this]: unknown[]) {
      try {
        await body((why) => {
          throw new Inapplicable(why)
        })
      } catch (error) {
        if (!(error instanceof Inapplicable)) {
          throw error
        }
        skip(context as RunnerContext | undefined, error.message)
      }
    })
  }
  return { describe, it, beforeEach, afterEach, test }
}

class Inapplicable extends Error {}

/** `this` in Mocha, or the first argument in other runners. */
interface RunnerContext {
  skip?: (why: string) => unknown
  test?: { title?: string }
}

/** Skips the running test. Mocha accepts no reason, so the reason goes into the title. */
function skip(context: RunnerContext | undefined, why: string): void {
  if (context?.test?.title != null) {
    context.test.title += ` (not run: ${why})`
  }
  if (context?.skip == null) {
    process.stderr.write(`not run: ${why}\n`)
  }
  context?.skip?.(why)
}
