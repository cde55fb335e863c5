/** Marks omitted parts of a URL. */
export const LEFT_OUT = '…'

const URLS = /\b(wss?|https?):\/\/[^\s"<>]+/gi
/** Shorter parts of a URL, such as `v1`, are no secrets and occur in other words. */
const LEAST_SECRET_LENGTH = 4

/** Scheme, host and port of a URL. Its path, query and user may contain a key and are never shown. */
export function shownUrl(url: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}

/** Like `shownUrl`, for any text that begins like a URL; `…` marks omitted parts. */
export function markedUrl(url: string): string {
  if (!URL.canParse(url)) {
    return `${url.slice(0, url.indexOf('//') + 2)}${LEFT_OUT}`
  }
  const { pathname, search, hash, username, password } = new URL(url)
  const isWhole = [pathname === '/' ? '' : pathname, search, hash, username, password].every((part) => part === '')
  return isWhole ? url : `${shownUrl(url)}/${LEFT_OUT}`
}

/** The text with each URL shortened in this way. */
export function withShownUrls(text: string): string {
  return text.replace(URLS, markedUrl)
}

/** Removes from another program's text everything that this URL contains besides scheme, host and port, in all usual encodings. */
export function withoutSecretsOf(url: string, text: string): string {
  return secretsOf(url).reduce((shown, secret) => shown.replaceAll(secret, LEFT_OUT), withShownUrls(text))
}

/** The longest first, because a short secret may be part of a longer one. */
function secretsOf(url: string): string[] {
  const { pathname, search, username, password, searchParams } = new URL(url)
  const user = [username, password].map(decoded).join(':')
  const parts = [
    ...[pathname, ...pathname.split('/')],
    ...[search.slice(1), ...[...searchParams].map(([name, value]) => (value === '' ? name : value))],
    ...[username, password, user, Buffer.from(user).toString('base64')],
  ]
  const spelled = parts.flatMap((part) => [part, decoded(part), encodeURIComponent(decoded(part))])
  return [...new Set(spelled)].filter(({ length }) => length >= LEAST_SECRET_LENGTH).sort((a, b) => b.length - a.length)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
