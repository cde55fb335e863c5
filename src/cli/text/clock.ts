const MS_PER_MINUTE = 60_000

/** `15:04:05`, in local time; `2026-11-29 15:04:05` if `nowMs` is on another day. @param nowMs Unix milliseconds. @default the same time */
export function clockOf(atMs: number, nowMs = atMs): string {
  const [day, time] = localTime(atMs)
  return day === localTime(nowMs)[0] ? time : `${day} ${time}`
}

function localTime(atMs: number): [day: string, time: string] {
  const text = new Date(atMs - new Date(atMs).getTimezoneOffset() * MS_PER_MINUTE).toISOString()
  return [text.slice(0, 10), text.slice(11, 19)]
}
