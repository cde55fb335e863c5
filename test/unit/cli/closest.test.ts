import assert from 'node:assert/strict'
import { closest } from '../../../src/cli/text/closest.ts'

describe('what was probably meant', () => {
  const words = ['start', 'status', 'send-task', 'chain', 'chain list', 'chain lookup', '--text', '--timeout', '--no-color']
  const meant: Array<[typed: string, word: string | undefined]> = [
    ['strat', 'start'],
    ['sttus', 'status'],
    ['sendtask', 'send-task'],
    ['chain lst', 'chain list'],
    ['--txet', '--text'],
    ['--tex', '--text'],
    ['--timeot', '--timeout'],
    ['--nocolor', '--no-color'],
    ['frobnicate', undefined],
    ['--foo', undefined],
    ['x', undefined],
    ['', undefined],
  ]
  for (const [typed, word] of meant) {
    it(`by ${JSON.stringify(typed)} is ${word ?? 'not known'}`, () => assert.equal(closest(typed, words), word))
  }

  it('is nothing where there is nothing', () => assert.equal(closest('x', []), undefined))
})
