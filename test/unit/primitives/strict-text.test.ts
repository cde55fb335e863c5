import assert from 'node:assert/strict'
import { toText } from '../../../src/primitives/strict-text.ts'

const MARK = Buffer.from([0xef, 0xbb, 0xbf])

describe("a user's text", () => {
  it('is what stands there, without a byte order mark', () => {
    for (const text of ['', 'x', 'über — 漢字 🎈\r\n\u0000', 'a \ufffd that was typed', 'inside \ufeff stays']) {
      assert.equal(toText(Buffer.from(text), 'it'), text)
      assert.equal(toText(Buffer.concat([MARK, Buffer.from(text)]), 'it'), text)
    }
  })

  const faults: Array<[title: string, bytes: Buffer, place: string]> = [
    ['in another encoding', Buffer.from('f\xfcr', 'latin1'), 'byte 0xfc at line 1, column 2'],
    ['on a later line', Buffer.from('one\ntwo\nth\xefs', 'latin1'), 'byte 0xef at line 3, column 3'],
    ['behind other characters', Buffer.concat([Buffer.from('漢🎈'), Buffer.from([0xc0])]), 'byte 0xc0 at line 1, column 3'],
    [
      'behind a replacement that was typed',
      Buffer.concat([Buffer.from('\ufffd\ufffd'), Buffer.from([0xff])]),
      'byte 0xff at line 1, column 3',
    ],
    ['cut in the middle of a character', Buffer.from('漢').subarray(0, 2), 'byte 0xe6 at line 1, column 1'],
    ['a surrogate', Buffer.from([0x61, 0xed, 0xa0, 0x80]), 'byte 0xed at line 1, column 2'],
    ['longer than needed', Buffer.from([0x61, 0xc0, 0xaf]), 'byte 0xc0 at line 1, column 2'],
  ]
  for (const [title, bytes, place] of faults) {
    it(`is refused with the place of the fault: ${title}`, () => {
      const part = Buffer.concat([Buffer.from('before'), bytes]).subarray('before'.length)
      assert.throws(() => toText(part, 'the text'), { code: 'USAGE', message: `the text is not UTF-8: ${place}`, hint: 'save it as UTF-8' })
    })
  }

  it('in UTF-16 is told apart, and the lines of a part go on where it begins', () => {
    assert.throws(() => toText(Buffer.from('\ufeff{}', 'utf16le'), 'it'), { hint: 'it is UTF-16: save it as UTF-8' })
    assert.throws(() => toText(Buffer.from('a\n\xff', 'latin1'), 'it', 7), { message: 'it is not UTF-8: byte 0xff at line 8, column 1' })
  })
})
