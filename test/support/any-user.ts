const NOBODY = 65_534

/** Runs work with the rights of an ordinary user: root may write what is read-only. */
export async function asAnyUser(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) {
    process.seteuid?.(NOBODY)
  }
  try {
    await work()
  } finally {
    if (isRoot) {
      process.seteuid?.(0)
    }
  }
}
