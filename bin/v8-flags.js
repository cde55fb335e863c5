/** The commands that need the flags. For a command that moves little data, a small young generation costs a tenth more time. */
const MOVE_PAYLOADS = ['start', 'send-task', 'call', 'bench']

/**
 * Sets V8's flags for garbage collection. Call it before any code is compiled, because the compile cache depends on the flags. Each chunk
 * of a large payload is a few buffers outside V8's heap, and becomes garbage at once. With this flag, V8 13.6 sweeps its young generation
 * after a few MiB of buffers. By default, V8 repeatedly collects its whole heap for them; docs/performance.md has the cost.
 * @param {string | undefined} command
 * @param {string[]} options the options of the command
 */
export function setV8Flags(command, options = []) {
  const named = (name) => options.some((option) => option === name || option.startsWith(`${name}=`))
  // a text fits into a command line, and a printed result is small too
  if (!MOVE_PAYLOADS.includes(command) || (command === 'send-task' && named('--text') && !named('--output'))) {
    return
  }
  // loading this module takes a fifth of Node's bare startup time
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  if (process.versions.v8.startsWith('13.6.')) {
    setFlagsFromString('--scavenger-max-new-space-capacity-mb=1')
  }
  if (command === 'send-task') {
    // a finished task of a batch is garbage at once too: a young generation that stays small is swept before garbage piles up
    setFlagsFromString('--semi-space-growth-factor=1')
  }
}
