import { raceSignal } from 'race-signal'

/**
 * Yields from a source until the signal aborts, then throws its reason, even while the source is silent. The source is asked to end but not
 * awaited, because it may hang.
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
