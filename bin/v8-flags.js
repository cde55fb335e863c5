/** With a small young generation a command that moves little takes a tenth longer. */
const MOVE_PAYLOADS = ['start', 'send-task', 'call', 'bench']

/**
 * How V8 collects what a command leaves behind; before anything is compiled, as the compile cache is one for each set of flags.
 * Each chunk of a large payload is some buffers outside of V8's heap, and garbage at once. With this flag V8 13.6 sweeps its young generation
 * after a few MiB of them. By default it does not, and goes through all of its heap for them, time and again: docs/performance.md has what that costs.
 * @param {string | undefined} command
 * @param {string[]} options those of the command
 */
export function setV8Flags(command, options = []) {
  const named = (name) => options.some((option) => option === name || option.startsWith(`${name}=`))
  // a text fits into a command line, and so does what is shown of its result
  if (!MOVE_PAYLOADS.includes(command) || (command === 'send-task' && named('--text') && !named('--output'))) {
    return
  }
  // loading it takes as long as a fifth of a bare Node
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  if (process.versions.v8.startsWith('13.6.')) {
    setFlagsFromString('--scavenger-max-new-space-capacity-mb=1')
  }
  if (command === 'send-task') {
    // what a task of a batch leaves behind is garbage at once too: a young generation that stays small is swept before it piles up
    setFlagsFromString('--semi-space-growth-factor=1')
  }
}
