/** Skips the test that runs, and says in its title why: `.ci/run` lists these titles at its end. */
export function notRun(context: Mocha.Context, why: string): never {
  if (context.test != null) {
    context.test.title += ` (not run: ${why})`
  }
  return context.skip()
}
