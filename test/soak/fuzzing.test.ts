import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { fuzz } from '../support/fuzzing.ts'
import { mutated, mutatedMessage } from '../support/mutations.ts'
import { sum } from './fuzzing.ts'

const MIB = 1 << 20
const HANG_WATCH = new URL('../support/hang-watch.ts', import.meta.url).href

describe('the fuzzers', () => {
  it('tell the seed, the path and the smallest input of what fails', async () => {
    const inputs = fc.uint8Array({ maxLength: 40 })
    const failing = fuzz(inputs, { runs: 1_000 }, MIB, (bytes) => assert.ok(!bytes.includes(7), 'a seven'))
    await assert.rejects(failing, /seed: 1, path: "[\d:]+".*\nCounterexample: \[Uint8Array\.from\(\[7\]\)\]/)
  })

  it('find a buffer that is larger than told', async () => {
    const failing = fuzz(fc.nat({ max: 100 }), { runs: 1_000 }, 90, (size) => void Buffer.allocUnsafeSlow(size))
    await assert.rejects(failing, ({ cause }) => /a buffer of 91 bytes/.test(String(cause)))
  })

  it('end a process that an input keeps in a loop, and tell which input that is', async () => {
    const code = `import(${JSON.stringify(HANG_WATCH)}).then(({ HangWatch }) => { new HangWatch(200).begin(7, 3); for (;;) {} })`
    const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const [, signal] = await once(child, 'close')
    assert.equal(signal, 'SIGKILL')
    assert.match(said, /SUBNET_FUZZ_SEED=7 SUBNET_FUZZ_PATH=3/)
  })

  it('change bytes and messages, and not what they were made of', async () => {
    const whole = Buffer.from([8, 1, 18, 3, 1, 2, 3, 26, 2, 8, 9])
    const before = whole.toString('hex')
    const seen = new Set<string>()
    await fuzz(fc.oneof(mutated(whole), mutatedMessage(whole), mutatedMessage(new Uint8Array())), { runs: 3_000 }, MIB, (bytes) => {
      seen.add(Buffer.from(bytes).toString('hex'))
      assert.equal(whole.toString('hex'), before)
    })
    assert.ok(seen.size > 1_500, `${seen.size} of 3000`)
  })

  it('are counted by target', () => {
    const lines = [
      { target: 'a', inputs: 2, cpuMs: 1 },
      { target: 'b', inputs: 9, cpuMs: 2 },
      { target: 'a', inputs: 3, cpuMs: 4 },
    ]
    assert.deepEqual(sum(`${lines.map((line) => JSON.stringify(line)).join('\n')}\n`), [
      { target: 'b', inputs: 9, cpuMs: 2 },
      { target: 'a', inputs: 5, cpuMs: 5 },
    ])
  })
})
