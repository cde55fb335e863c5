import { writeSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** What a process does now: which input of which seed, and how many before it. All 0 while it tries none. */
const [TRIED, SEED, RUN] = [0, 1, 2]
/** How often it looks, of the time that an input may take. */
const LOOKS = 10

interface Init {
  state: Int32Array
  /** How long one input may take, in milliseconds. */
  afterMs: number
}

/**
 * A thread that ends this process where one input takes longer than told, and says which. Only so is an endless loop found: while it runs no timer of
 * its own thread does.
 */
export class HangWatch {
  readonly #state = new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT))
  #tried = 0

  constructor(afterMs: number) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { state: this.#state, afterMs } satisfies Init })
    worker.unref()
  }

  begin(seed: number, run: number): void {
    this.#state[SEED] = seed
    this.#state[RUN] = run
    this.#state[TRIED] = ++this.#tried
  }

  end(): void {
    this.#state[TRIED] = 0
  }
}

function watch({ state, afterMs }: Init): void {
  let [seen, sinceMs] = [0, performance.now()]
  setInterval(() => {
    const tried = Atomics.load(state, TRIED)
    if (tried === 0 || tried !== seen) {
      seen = tried
      sinceMs = performance.now()
    } else if (performance.now() - sinceMs > afterMs) {
      writeSync(2, `\n  1) an input hangs: SUBNET_FUZZ_SEED=${state[SEED]} SUBNET_FUZZ_PATH=${state[RUN]} tells which\n`)
      process.kill(process.pid, 'SIGKILL')
    }
  }, afterMs / LOOKS)
}

if (!isMainThread && parentPort != null && workerData?.state instanceof Int32Array) {
  watch(workerData)
}
