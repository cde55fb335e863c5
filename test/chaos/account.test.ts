import assert from 'node:assert/strict'
import { Account, digestOf, resultOf, type Told } from './account.ts'

const PAYLOAD = Buffer.from('payload')
const DIGEST = digestOf(PAYLOAD)
const NOTHING = { lost: 0, doubled: 0, wrong: 0, falselyReported: 0 }

describe('the account of a chaos campaign', () => {
  const cases: Array<[title: string, told: Told[], acted: Array<[worker: number, digest: string]>, found: object]> = [
    ['a task that was accepted and acted on once', ['accepted'], [[3, DIGEST]], {}],
    ['one that may have been acted on, and was', ['may have acted'], [[3, DIGEST]], {}],
    ['one that may have been acted on, and was not', ['may have acted'], [], {}],
    ['one that was not acted on, as told', ['not acted'], [], {}],
    ['one whose command was killed', ['unknown'], [[3, DIGEST]], {}],
    ['one that was accepted, and acted on by nobody', ['accepted'], [], { lost: 1 }],
    ['one of which nothing was told', [], [[3, DIGEST]], { lost: 1 }],
    [
      'one that was acted on twice',
      ['may have acted'],
      [
        [3, DIGEST],
        [3, DIGEST],
      ],
      { doubled: 1 },
    ],
    ['one that was reported twice', ['accepted', 'accepted'], [[3, DIGEST]], { doubled: 1 }],
    ['one that another worker acted on', ['accepted'], [[4, DIGEST]], { wrong: 1 }],
    ['one that came with other bytes', ['may have acted'], [[3, digestOf(Buffer.from('other'))]], { wrong: 1 }],
    ['one that was acted on, though its caller was told that it was not', ['not acted'], [[3, DIGEST]], { falselyReported: 1 }],
  ]
  for (const [title, told, acted, found] of cases) {
    it(`counts ${Object.keys(found)[0] ?? 'no fault'}: ${title}`, () => {
      const account = new Account()
      account.sent('a', 3, PAYLOAD)
      for (const one of told) {
        account.reported('a', one, { result: resultOf('a', DIGEST) })
      }
      for (const [worker, digest] of acted) {
        account.acted('a', worker, digest)
      }
      const { faults, examples } = account.close()
      assert.deepEqual(faults, { ...NOTHING, ...found })
      assert.equal(examples.length, Object.keys(found).length)
    })
  }

  it('counts as wrong: another result than that of the task, and a task that nobody sent', () => {
    const account = new Account()
    account.sent('a', 3, PAYLOAD)
    account.acted('a', 3, DIGEST)
    account.reported('a', 'accepted', { result: resultOf('b', DIGEST) })
    account.acted('b', 3, DIGEST)
    assert.deepEqual(account.close().faults, { ...NOTHING, wrong: 2 })
  })
})
