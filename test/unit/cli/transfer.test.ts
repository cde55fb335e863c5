import assert from 'node:assert/strict'
import { humanBytes } from '../../../src/cli/text/bytes.ts'
import { describeReached, describeTransfer, type TransferState, transferSummary } from '../../../src/cli/text/transfer.ts'

const MB = 1_000_000
const STATE: TransferState = { sent: 0, sentSize: 300 * MB, received: 0, receivedSize: undefined, elapsedMs: 1_500, receivingMs: 0 }
const SENDING = { ...STATE, sent: 120 * MB }
const BOTH = { ...STATE, sent: 240 * MB, received: 120 * MB, receivedSize: 300 * MB, elapsedMs: 3_000, receivingMs: 2_900 }
const RECEIVING = { ...STATE, sent: 300 * MB, received: 75 * MB, receivedSize: 300 * MB, elapsedMs: 5_000, receivingMs: 1_000 }

describe('the progress of one payload', () => {
  it('tells at 80 columns what was sent and received, how fast, and how long it still takes', () => {
    assert.deepEqual(
      [SENDING, BOTH, RECEIVING].map((state) => describeTransfer(state, 80)),
      [
        '[========>           ]  40 %, 120 of 300 MB sent, 80 MB/s, 2 s left',
        '[=====> ]  80 %, 240 of 300 MB sent, 120 of 300 MB received, 120 MB/s, 0 s left',
        '[====>           ]  25 %, 300 MB sent, 75 of 300 MB received, 75 MB/s, 3 s left',
      ],
    )
  })

  it('has room for the whole bar at 120 columns', () => {
    assert.equal(
      describeTransfer(BOTH, 120),
      '[================>   ]  80 %, 240 of 300 MB sent, 120 of 300 MB received, 120 MB/s, 0 s left',
    )
  })

  it('never fills the last column', () => {
    for (let columns = 2; columns <= 120; columns++) {
      for (const state of [SENDING, BOTH, RECEIVING]) {
        assert.ok((describeTransfer(state, columns) ?? '').length < columns, `${columns} columns`)
      }
    }
  })

  it('that is cancelled says how far it came', () => {
    const small = { ...STATE, sent: 5, sentSize: 5, elapsedMs: 2_300 }
    assert.deepEqual(
      [SENDING, { ...SENDING, sentSize: undefined }, BOTH, RECEIVING, { ...RECEIVING, received: 0 }, small].map(describeReached),
      ['120 of 300 MB', '120 MB', '240 of 300 MB', '75 of 300 MB of the answer', '5.0 s', '2.3 s'],
    )
  })

  it('has no share where the size is not known', () => {
    assert.equal(describeTransfer({ ...SENDING, sentSize: undefined }, 80), '120 MB sent, 80 MB/s, 2 s')
    assert.equal(describeTransfer({ ...RECEIVING, receivedSize: undefined }, 80), '300 MB sent, 75 MB received, 75 MB/s, 5 s')
  })

  it('says that it waits for the answer, of a small payload after a second', () => {
    const small = { ...STATE, sent: 5, sentSize: 5 }
    assert.equal(describeTransfer({ ...small, elapsedMs: 900 }, 80), undefined)
    assert.equal(describeTransfer({ ...small, elapsedMs: 3_000 }, 80), 'waiting for the answer, 3 s')
    assert.equal(describeTransfer({ ...STATE, sent: 300 * MB, elapsedMs: 3_000 }, 80), '300 MB sent, waiting for the answer, 100 MB/s, 3 s')
  })

  it('is shown at once of a payload of more than 1 MiB', () => {
    const state = { ...STATE, elapsedMs: 0 }
    assert.equal(describeTransfer({ ...state, sentSize: 1 << 20 }, 80), undefined)
    assert.equal(describeTransfer({ ...state, sentSize: (1 << 20) + 1 }, 80), '0 B of 1.0 MB sent, 0 B/s, 0 s')
  })

  it('ends with what went both ways, where the answer is, the time, and the rate of a large one', () => {
    const state = { ...RECEIVING, received: 300 * MB, elapsedMs: 7_500 }
    assert.equal(transferSummary(state, 'big.out'), '300 MB sent, 300 MB → big.out, 7.5 s, 80 MB/s')
    assert.equal(transferSummary({ ...STATE, sent: 5, sentSize: 5, received: 12, elapsedMs: 1_234 }), '5 B sent, 12 B received, 1.2 s')
    assert.match(transferSummary({ ...STATE, sent: 2 * MB, sentSize: 2 * MB, received: 12, elapsedMs: 40 }), /, 12 B received, 40 ms, /)
  })

  it('says bytes in the unit that keeps them short', () => {
    assert.deepEqual([0, 999, 1_000, 1_500, 15_400, 999_499, 999_999, 1_048_577, 300 * MB, 2_147_483_648].map(humanBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.5 kB',
      '15 kB',
      '999 kB',
      '1.0 MB',
      '1.0 MB',
      '300 MB',
      '2.1 GB',
    ])
  })
})
