/** What a terminal shows of what was written to it: enough of one for what readline and prompts do. Wraps like xterm. */
export class Screen {
  columns: number
  #rows: string[][] = [[]]
  #row = 0
  #column = 0

  constructor(columns: number) {
    this.columns = columns
  }

  /** All lines, the ones scrolled away too, without trailing blanks. */
  get lines(): string[] {
    return this.#rows.map((row) =>
      Array.from(row, (cell) => cell ?? ' ')
        .join('')
        .trimEnd(),
    )
  }

  /** The line with the cursor, and what is below. */
  get line(): string {
    return this.lines[this.#row] ?? ''
  }

  get text(): string {
    return this.lines.join('\n')
  }

  get cursor(): { row: number; column: number } {
    return { row: this.#row, column: this.#column }
  }

  write(data: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
    const tokens = data.matchAll(/\u001b\[([?\d;]*)([A-Za-z])|\u001b[^[]|[\s\S]/gu)
    for (const [token, parameters, command] of tokens) {
      if (command != null) {
        this.#control(command, Number.parseInt(parameters || '', 10))
      } else if (!token.startsWith('\u001b')) {
        this.#put(token)
      }
    }
  }

  #put(character: string): void {
    if (character === '\r') {
      this.#column = 0
    } else if (character === '\n') {
      this.#down(1)
    } else if (character === '\b') {
      this.#column = Math.max(0, this.#column - 1)
    } else if (character >= ' ') {
      if (this.#column >= this.columns) {
        this.#column = 0
        this.#down(1)
      }
      this.#current[this.#column++] = character
    }
  }

  #control(command: string, given: number): void {
    const count = Number.isNaN(given) ? 1 : given
    switch (command) {
      case 'A':
        this.#row = Math.max(0, this.#row - count)
        break
      case 'B':
        this.#down(count)
        break
      case 'C':
        this.#column = Math.min(this.columns - 1, this.#column + count)
        break
      case 'D':
        this.#column = Math.max(0, Math.min(this.columns - 1, this.#column) - count)
        break
      case 'G':
        this.#column = count - 1
        break
      case 'J':
        this.#current.length = Math.min(this.#current.length, this.#column)
        this.#rows.length = this.#row + 1
        break
      case 'K':
        this.#current.length = given === 2 ? 0 : Math.min(this.#current.length, this.#column)
        break
    }
  }

  #down(count: number): void {
    this.#row += count
    while (this.#rows.length <= this.#row) {
      this.#rows.push([])
    }
  }

  get #current(): string[] {
    return this.#rows[this.#row] as string[]
  }
}
