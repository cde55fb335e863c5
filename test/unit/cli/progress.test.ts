import assert from 'node:assert/strict'
import type { WriteStream } from 'node:tty'
import { describeProgress, drawLine, type ProgressState, rate } from '../../../src/cli/text/progress.ts'

const STATE: ProgressState = { done: 4_100, rejected: 2, failed: 3, inFlight: 64, elapsedMs: 5_000, share: 0.41 }

/** As much of a terminal as one line needs. */
class Screen {
  columns = 100
  line = ''
  readonly finished: string[] = []
  draws = 0
  #news = Promise.withResolvers<void>()

  readonly write = ((text: string): boolean => {
    this.draws++
    for (const part of text.replaceAll('\u001b[K', '\v').split(/([\r\n\v])/)) {
      if (part === '\n') {
        this.finished.push(this.line)
        this.line = ''
      } else if (part === '\v') {
        this.line = ''
      } else {
        this.line += part === '\r' ? '' : part
      }
    }
    this.#news.resolve()
    this.#news = Promise.withResolvers()
    return true
  }) as unknown as WriteStream['write']

  async drawn(): Promise<void> {
    await this.#news.promise
  }
}

describe('the progress of a batch', () => {
  it('tells how much is done, how fast, what runs, what failed, and how long it still takes', () => {
    assert.equal(
      describeProgress(STATE, 100),
      '[========>           ]  41 %, 4100 done, 820/s, 64 in flight, 2 rejected, 3 failed, 7 s left',
    )
  })

  it('has no share and no end where the whole is not known', () => {
    assert.equal(describeProgress({ ...STATE, share: undefined }, 100), '4100 done, 820/s, 64 in flight, 2 rejected, 3 failed')
  })

  it('has a narrower bar at 80 columns', () => {
    assert.equal(describeProgress(STATE, 80), '[==>    ]  41 %, 4100 done, 820/s, 64 in flight, 2 rejected, 3 failed, 7 s left')
  })

  it('tells which part of the work runs, and only what is known of it', () => {
    const part = { what: 'rate', done: 4_100, elapsedMs: 5_000, share: 0.41 }
    assert.equal(describeProgress(part, 80), '[========>           ]  41 %, rate, 4100 done, 820/s, 7 s left')
    assert.equal(describeProgress({ ...part, done: 0, elapsedMs: 0, share: undefined }, 80), 'rate, 0 done, 0.0/s')
  })

  it('can be drawn before anything is done, and when all is done', () => {
    const none = { done: 0, failed: 0, inFlight: 16, elapsedMs: 0, share: 0 }
    assert.equal(describeProgress(none, 100), '[>                   ]   0 %, 0 done, 0.0/s, 16 in flight, 0 failed')
    const all = { done: 10, failed: 0, inFlight: 0, elapsedMs: 1_000, share: 1 }
    assert.equal(describeProgress(all, 100), '[====================] 100 %, 10 done, 10/s, 0 in flight, 0 failed, 0 s left')
  })

  it('never fills the last column of the terminal', () => {
    for (let columns = 2; columns <= 120; columns++) {
      const text = describeProgress(STATE, columns)
      assert.ok(text.length < columns, `${text.length} of ${columns}: ${text}`)
    }
    assert.match(describeProgress(STATE, 60), /^41 %, 4100 done/)
  })

  it('says rates below ten more exactly', () => {
    assert.deepEqual([rate(1, 2_500), rate(25, 2_000), rate(5, 0)], ['0.4/s', '13/s', '0.0/s'])
  })

  it('is one line that makes way for what else is printed, and leaves nothing behind', async () => {
    const screen = new Screen()
    const other = { columns: 100, write: screen.write }
    const [own, others] = [screen.write, other.write]
    const progress = drawLine(() => describeProgress(STATE, screen.columns), screen, [screen, other])
    await screen.drawn()
    assert.match(screen.line, /4100 done/)
    screen.write('a warning\n')
    await screen.drawn()
    assert.match(screen.line, /4100 done/)
    other.write('a result\n')
    await screen.drawn()
    progress.stop()
    assert.equal(screen.line, '')
    assert.deepEqual(screen.finished, ['a warning', 'a result'])
    assert.deepEqual([screen.write, other.write], [own, others])
  })

  it('is drawn by itself at most ten times a second', async () => {
    const screen = new Screen()
    const startedAtMs = performance.now()
    const progress = drawLine(() => describeProgress(STATE, screen.columns), screen, [screen])
    while (screen.draws < 3) {
      await screen.drawn()
    }
    progress.stop()
    assert.ok(performance.now() - startedAtMs >= 290)
  })
})
