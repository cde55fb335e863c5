import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** So long libfaketime keeps what it read of the file. */
const READ_EVERY_S = 1

/** A wall clock that can be set while a process runs: libfaketime reads its offset from a file. Monotonic clocks stay as they are. */
export class Clock {
  readonly #file: string
  readonly #library: string

  private constructor(file: string, library: string) {
    this.#file = file
    this.#library = library
  }

  /** @throws Error where there is no `faketime` */
  static async open(file: string): Promise<Clock> {
    const { stdout } = await run('faketime', ['-f', '+0', 'sh', '-c', 'echo "$LD_PRELOAD"'])
    const clock = new Clock(file, stdout.trim())
    await clock.set(0)
    return clock
  }

  get env(): NodeJS.ProcessEnv {
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: String(READ_EVERY_S),
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
  }

  async set(offsetSeconds: number): Promise<void> {
    await writeFile(this.#file, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}\n`)
  }
}
