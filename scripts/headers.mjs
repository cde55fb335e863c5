// Put in place of the global of this name when the command line is bundled: Node's own loads all of undici, which takes as long as Node itself.
export { Headers } from 'headers-polyfill'
