// What the sources declare, for scripts/reference.mjs: commands with their flags as --help has them, the shapes of their JSON, settings, exit codes.
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { OWN_TO_OCLIF } from '../src/cli/text/help.ts'
import { kebab, SETTING_NAMES, SETTINGS, shownDefault, variableOf } from '../src/node/home/config.ts'
import { EXIT_CODES } from '../src/primitives/errors.ts'

const GROUPS = { NODE: 'node', SERVING: 'serving', GLOBAL: 'common' }
/** Of commands that print no object of their own, or more than one, and what is printed. */
const PRINTED = {
  call: 'the answer as protobuf JSON; many answers, one per line',
  events: 'one event per line, until Ctrl-C',
  start: 'one event per line, `ready` first; no shell',
  attach: 'with `--script`, the JSON of each line of the script',
  peers: 'with `--watch`, one event per line: `event`, `atMs`, and these fields',
  'send-task': 'with `--batch`, one line as each task ends, with `index` and with `resultBase64` or `output`',
}
/** A union with more alternatives is only a text. */
const MAX_ALTERNATIVES = 12
const MAX_DEPTH = 4

/** @typedef {{ path: string, type: string, about: string }} Field */

/** All that there is, in the order of the help. */
export async function readDeclarations() {
  const files = globSync('src/commands/**/*.ts').sort()
  const types = new Types([...files, 'src/node/home/config.ts', 'src/primitives/errors.ts', 'src/cli/text/report.ts'])
  const commands = []
  for (const file of files) {
    const { default: Command } = await import(pathToFileURL(resolve(file)).href)
    const id = file.slice('src/commands/'.length, -'.ts'.length).replaceAll('/', ' ')
    if (Command.hidden !== true) {
      commands.push({ ...describe(Command, id), printed: PRINTED[id], json: types.answerOf(file) })
    }
  }
  const told = types.docsOf('src/node/home/config.ts', 'Settings')
  const codes = types.docsOf('src/primitives/errors.ts', 'EXIT_CODES')
  return {
    commands: commands.sort((a, b) => (a.id < b.id ? -1 : 1)),
    error: types.interfaceOf('src/cli/text/report.ts', 'ErrorReport'),
    settings: SETTING_NAMES.map((name) => {
      const { flag } = SETTINGS[name]
      const about = flag?.help.replace(/ ?\{default\}/, '') ?? told.get(name)
      if (!about) {
        throw new Error(`the setting ${name} has neither the help of a flag nor a comment in the interface Settings`)
      }
      return { name, flag: flag == null ? undefined : `--${kebab(name)}`, variable: variableOf(name), fallback: shownDefault(name), about }
    }),
    exits: Object.entries(EXIT_CODES).map(([name, code]) => ({ name, code, when: codes.get(name) ?? missing(name) })),
  }
}

function missing(name) {
  throw new Error(`the exit code ${name} has no comment in EXIT_CODES`)
}

function describe(Command, id) {
  const flags = Object.entries({ ...Command.baseFlags, ...Command.flags, ...globalFlags() }).filter(([, { hidden }]) => hidden !== true)
  const own = []
  const shared = { node: [], serving: [], common: [] }
  for (const [name, flag] of flags) {
    const group = GROUPS[flag.helpGroup]
    const row = { text: flagText(name, flag), about: flag.description ?? '' }
    ;(group == null ? own : shared[group]).push(row)
  }
  const args = Object.entries(Command.args ?? {}).filter(([, { hidden }]) => hidden !== true)
  const render = (text) => String(text).replaceAll('<%= config.bin %>', 'subnet')
  return {
    id,
    usage: ['subnet', id, ...args.map(([name, arg]) => argumentText(name, arg)), '[FLAGS]'].join(' '),
    summary: render(Command.summary ?? ''),
    description: render(Command.description ?? ''),
    args: args.map(([name, { description = '' }]) => ({ text: name.toUpperCase(), about: description })),
    own,
    shared,
    examples: (Command.examples ?? []).map(render),
  }
}

/** Those that oclif gives every command. */
function globalFlags() {
  return Object.fromEntries(Object.entries(OWN_TO_OCLIF).map(([name, flag]) => [name, { ...flag, helpGroup: 'GLOBAL' }]))
}

function flagText(name, { char, helpValue, allowNo }) {
  return `${char == null ? '' : `-${char}, `}--${allowNo === true ? '[no-]' : ''}${name}${helpValue == null ? '' : ` ${helpValue}`}`
}

function argumentText(name, { required, multiple }) {
  const text = `${name.toUpperCase()}${multiple === true ? '...' : ''}`
  return required === true ? text : `[${text}]`
}

/** Where a field is declared: their order in a type is the compiler's own. */
function placeOf(symbol) {
  const [declaration] = symbol.declarations ?? []
  return `${declaration?.getSourceFile().fileName ?? ''} ${String(declaration?.pos ?? 0).padStart(8, '0')}`
}

/** The types of sources, as the compiler knows them. */
class Types {
  #program
  #checker

  constructor(files) {
    const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files }, ts.sys, '.')
    this.#program = ts.createProgram(files, { ...options, noEmit: true })
    this.#checker = this.#program.getTypeChecker()
  }

  /** What the command of a file prints with --json; undefined where it prints by itself. */
  answerOf(file) {
    const command = this.#source(file).statements.find((each) => ts.isClassDeclaration(each))
    const run = command.members.find((each) => each.name?.getText() === 'run')
    const signature = this.#checker.getSignatureFromDeclaration(run)
    const answer = this.#checker.getNonNullableType(this.#checker.getAwaitedType(signature.getReturnType()))
    if ((answer.flags & (ts.TypeFlags.Void | ts.TypeFlags.Never)) !== 0) {
      return undefined
    }
    const item = this.#itemOf(answer)
    return { isList: item != null, fields: this.#fieldsOf(item ?? answer, '', 0, run) }
  }

  interfaceOf(file, name) {
    const found = this.#source(file).statements.find((each) => each.name?.text === name)
    return this.#fieldsOf(this.#checker.getTypeAtLocation(found), '', 0, found)
  }

  /** The comment of each member of an interface, or of each key of a constant. */
  docsOf(file, name) {
    const node = this.#source(file).statements.flatMap((each) =>
      ts.isVariableStatement(each) ? [...each.declarationList.declarations] : [each],
    )
    const found = node.find((each) => each.name?.getText() === name)
    const properties = this.#checker.getTypeAtLocation(found).getProperties()
    return new Map(properties.map((symbol) => [symbol.name, this.#aboutOf(symbol)]))
  }

  #source(file) {
    return this.#program.getSourceFile(resolve(file))
  }

  #itemOf(type) {
    return this.#checker.isArrayType(type) ? this.#checker.getTypeArguments(type)[0] : undefined
  }

  /** @returns {Field[]} */
  #fieldsOf(type, prefix, depth, at) {
    const symbols = this.#checker.getPropertiesOfType(type).sort((a, b) => placeOf(a).localeCompare(placeOf(b)))
    if (symbols.length === SETTING_NAMES.length && symbols.every(({ name }) => Object.hasOwn(SETTINGS, name))) {
      const value = this.#checker.getTypeOfSymbolAtLocation(symbols[0], at)
      const fields = this.#isObject(value) ? this.#fieldsOf(value, `${prefix}KEY.`, depth + 1, at) : []
      return fields.length > 0 ? fields : [{ path: `${prefix}KEY`, type: this.#textOf(value, false, true), about: 'One for each setting.' }]
    }
    return symbols.flatMap((symbol) => {
      const found = this.#checker.getTypeOfSymbolAtLocation(symbol, at)
      const isOptional = (symbol.flags & ts.SymbolFlags.Optional) !== 0
      const bare = this.#checker.getNonNullableType(found)
      const item = this.#itemOf(bare)
      const inner = item ?? bare
      const path = `${prefix}${symbol.name}`
      const nested =
        depth < MAX_DEPTH && this.#isObject(inner) ? this.#fieldsOf(inner, `${path}${item == null ? '' : '[]'}.`, depth + 1, at) : []
      return [{ path, type: this.#textOf(found, nested.length > 0, isOptional), about: this.#aboutOf(symbol) }, ...nested]
    })
  }

  #isObject(type) {
    const parts = type.isUnion() ? type.types : [type]
    return parts.every((each) => (each.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) !== 0 && this.#isPlain(each))
  }

  #isPlain(type) {
    const isText = type.isIntersection() && type.types.some(({ flags }) => (flags & ts.TypeFlags.StringLike) !== 0)
    return !isText && this.#itemOf(type) == null && type.getProperties().length > 0 && type.getCallSignatures().length === 0
  }

  #textOf(type, isNested, isOptional) {
    const isNullable =
      this.#checker.getNonNullableType(type) !== type && (type.types ?? []).some(({ flags }) => (flags & ts.TypeFlags.Null) !== 0)
    const bare = this.#checker.getNonNullableType(type)
    const item = this.#itemOf(bare)
    const name = isNested ? 'object' : this.#nameOf(item ?? bare)
    const text = item == null ? name : `array of ${name}`
    return `${text}${isNullable ? ' or null' : ''}${isOptional ? ', may be absent' : ''}`
  }

  #nameOf(type) {
    const literals = type.isUnion() ? type.types : [type]
    if (literals.every((each) => each.isStringLiteral()) && literals.length <= MAX_ALTERNATIVES) {
      return literals
        .map(({ value }) => `"${value}"`)
        .sort()
        .join(', ')
    }
    const flat = [
      [ts.TypeFlags.StringLike | ts.TypeFlags.Intersection, 'text'],
      [ts.TypeFlags.NumberLike | ts.TypeFlags.BigIntLike, 'number'],
      [ts.TypeFlags.BooleanLike, 'true or false'],
    ]
    const named = flat.find(([flags]) => literals.every((each) => (each.flags & flags) !== 0))
    return named?.[1] ?? 'any JSON'
  }

  #aboutOf(symbol) {
    return ts.displayPartsToString(symbol.getDocumentationComment(this.#checker)).replace(/\s+/g, ' ').trim()
  }
}
