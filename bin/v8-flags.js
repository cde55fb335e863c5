import { setFlagsFromString } from 'node:v8'

/**
 * How V8 collects what a command leaves behind; before anything is compiled, as the compile cache is one for each set of flags.
 * Each chunk of a large payload is some buffers outside of V8's heap, and garbage at once. With this flag V8 13.6 sweeps its young generation
 * after a few MiB of them. By default it does not, and goes through all of its heap for them, time and again: docs/performance.md has what that costs.
 * @param {string | undefined} command
 */
export function setV8Flags(command) {
  if (process.versions.v8.startsWith('13.6.')) {
    setFlagsFromString('--scavenger-max-new-space-capacity-mb=1')
  }
  if (command === 'send-task') {
    // what a task of a batch leaves behind is garbage at once too: a young generation that stays small is swept before it piles up
    setFlagsFromString('--semi-space-growth-factor=1')
  }
}
