// Replaces the global Headers in the bundled command line. Node's own loads all of undici, which takes as long as Node's startup.
export { Headers } from 'headers-polyfill'
