import assert from 'node:assert/strict'
import type { Message } from '@libp2p/gossipsub'
import { Blame } from '../../../src/gossip/blame.ts'
import { ignore, type Outcome, reject, type Verdict, validatorOf } from '../../../src/gossip/verdict.ts'
import { newPeer } from '../../support/keys.ts'
import { ToldLog } from '../../support/told-log.ts'

describe('a verdict on gossip', () => {
  async function judged(verdict: Verdict): Promise<{ lines: ToldLog['lines']; outcomes: Outcome[]; author: string; sender: string }> {
    const [{ peerId: author }, { peerId: sender }] = [await newPeer(), await newPeer()]
    const told = new ToldLog()
    const outcomes: Outcome[] = []
    const court = { blame: new Blame(), log: told.log.scoped('gossip'), onOutcome: (outcome: Outcome) => outcomes.push(outcome) }
    const message = { type: 'signed', from: author, data: new Uint8Array(0) } as Message
    await validatorOf('heartbeat', court, async () => verdict)(sender, message)
    return { lines: told.lines, outcomes, author: author.toString(), sender: sender.toString() }
  }

  for (const [verdict, message] of [
    [ignore('old sequence number'), 'heartbeat ignored'],
    [reject('of another subnet'), 'heartbeat rejected'],
  ] as const) {
    it(`has a line with its reason, author and sender, and is counted: ${verdict.result}`, async () => {
      const { lines, outcomes, author, sender } = await judged(verdict)
      const reason = verdict.result === 'accept' ? undefined : verdict.reason
      assert.deepEqual(lines, [{ level: 'debug', scope: 'subnet:gossip', message, reason, peer: author, sender }])
      assert.deepEqual(outcomes, [verdict.result])
    })
  }

  it('has no line where all is well', async () => {
    const { lines, outcomes } = await judged({ result: 'accept' })
    assert.deepEqual([lines, outcomes], [[], ['accept']])
  })
})
