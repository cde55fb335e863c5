import { raceSignal } from 'race-signal'

/**
 * What a source gives, until the signal aborts: then its reason is thrown, also where the source gives nothing. The source is told to end, and not waited
 * for: it may hang.
 */
export function untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const iterator = source[Symbol.asyncIterator]()
      const leave = (): void => void iterator.return?.()?.catch(() => undefined)
      const onAbort = {
        translateError: ({ reason }: AbortSignal) => {
          leave()
          return reason
        },
      }
      return {
        next: () => raceSignal(iterator.next(), signal, onAbort),
        return: async () => {
          leave()
          return { done: true, value: undefined }
        },
      }
    },
  }
}
