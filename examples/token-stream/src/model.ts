/** All that the model has ever read. */
const TEXT = `
a peer asks a peer for its address and the peer tells the address to the peer .
a node that knows the address dials the peer and opens a stream to the peer .
the stream carries one request and then many answers until the peer closes the stream .
a peer that leaves the stream early tells the node and the node makes no more tokens .
`

const END = '.'
const followers = new Map<string, string[]>()
const words = TEXT.trim().split(/\s+/)
for (const [index, word] of words.entries()) {
  followers.set(word, [...(followers.get(word) ?? []), words[index + 1] ?? 'a'])
}

/** A very small language model: each word is one that followed the last one in its text. Ends at the end of a sentence. */
export function* generate(prompt: string, seed: number): Generator<string, void> {
  const random = randomNumbers(seed)
  const pick = (from: readonly string[]): string => from[Math.floor(random() * from.length)] as string
  for (let word = prompt.trim().split(/\s+/).at(-1) ?? ''; ; ) {
    word = pick(followers.get(word) ?? words.filter((one) => one !== END))
    if (word === END) {
      yield word
      return
    }
    yield ` ${word}`
  }
}

/** From 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
