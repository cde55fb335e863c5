import { SaxesParser } from 'saxes'
import { GatewayError } from './gateway.ts'

/** An XML element. */
export interface XmlElement {
  /** Without its namespace prefix, which differs between routers. */
  name: string
  children: XmlElement[]
  /** The element's own text, trimmed. */
  text: string
}

/** A router description with all its devices has about 100 elements, 8 levels deep. */
const MAX_ELEMENTS = 2_000
const MAX_DEPTH = 32
/** Maximum tolerated faults. Routers append a zero byte to the document, for example. */
const MAX_FAULTS = 16
/** An ampersand that a router failed to escape. */
const BARE_AMPERSAND = /&(?!\w{1,8};|#\w{1,8};)/g

/**
 * Parses a small document of at most 2,000 elements and 32 levels. Tolerates up to 16 faults. Only XML's five predefined entities are
 * supported.
 * @throws GatewayError
 */
export function readXml(text: string): XmlElement {
  const parser = new SaxesParser()
  const top: XmlElement = { name: '', children: [], text: '' }
  const open = [top]
  let count = 0
  let faults = 0
  parser.on('error', (cause) => {
    if (++faults > MAX_FAULTS) {
      throw new GatewayError('MALFORMED', 'the router sent invalid XML', { cause })
    }
  })
  parser.on('opentag', ({ name }) => {
    if (++count > MAX_ELEMENTS || open.length > MAX_DEPTH) {
      throw new GatewayError('MALFORMED', 'the router sent too many or too deeply nested XML elements')
    }
    const element = { name: name.replace(/^[^:]*:/, ''), children: [], text: '' }
    open.at(-1)?.children.push(element)
    open.push(element)
  })
  const onText = (part: string): void => {
    const element = open.at(-1)
    if (element != null) {
      element.text += part
    }
  }
  parser.on('text', onText)
  parser.on('cdata', onText)
  parser.on('closetag', () => {
    const element = open.length > 1 ? open.pop() : undefined
    if (element != null) {
      element.text = element.text.trim()
    }
  })
  parser.write(text.replace(BARE_AMPERSAND, '&amp;')).close()
  return top
}

/** All elements of this name, at any depth. */
export function elementsIn(element: XmlElement, name: string): XmlElement[] {
  return element.children.flatMap((child) => [...(child.name === name ? [child] : []), ...elementsIn(child, name)])
}

/** The text of the first element of this name, at any depth. */
export function textIn(element: XmlElement, name: string): string | undefined {
  return elementsIn(element, name)[0]?.text
}
