import { SaxesParser } from 'saxes'
import { GatewayError } from './gateway.ts'

/** An element of a document. */
export interface XmlElement {
  /** Without a namespace's prefix: routers use different ones. */
  name: string
  children: XmlElement[]
  /** Its own, without white space around it. */
  text: string
}

/** A description of a router with all its devices has some 100 elements, 8 levels deep. */
const MAX_ELEMENTS = 2_000
const MAX_DEPTH = 32
/** Routers send a zero byte behind the document, and other things. */
const MAX_FAULTS = 16
/** Routers forget to escape this. */
const BARE_AMPERSAND = /&(?!\w{1,8};|#\w{1,8};)/g

/**
 * Reads a small document: at most 2,000 elements, 32 levels, 16 faults, which are passed over. Only XML's own five entities are known.
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
      throw new GatewayError('MALFORMED', 'the router sent what is no XML', { cause })
    }
  })
  parser.on('opentag', ({ name }) => {
    if (++count > MAX_ELEMENTS || open.length > MAX_DEPTH) {
      throw new GatewayError('MALFORMED', 'the router sent more XML than is read')
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
