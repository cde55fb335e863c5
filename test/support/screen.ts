/** What a terminal shows of what was written to it: enough of one for what readline, prompts and a full screen do. A resize wraps lines anew. */
export class Screen {
  columns: number
  #rows: string[][] = [[]]
  #row = 0
  #column = 0
  /** The rows that go on with the line of the row above. */
  readonly #wrapped = new Set<number>()
  /** What the alternate screen hides. */
  #hidden: { rows: string[][]; row: number; column: number } | undefined

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
        this.#control(command, Number.parseInt(parameters || '', 10), parameters ?? '')
      } else if (!token.startsWith('\u001b')) {
        this.#put(token)
      }
    }
  }

  resize(columns: number): void {
    const lines: string[][] = []
    let cursor = { line: 0, offset: 0 }
    this.#rows.forEach((row, index) => {
      const line = this.#wrapped.has(index) ? (lines.pop() ?? []) : []
      if (index === this.#row) {
        cursor = { line: lines.length, offset: line.length + this.#column }
      }
      lines.push([...line, ...Array.from(row, (cell) => cell ?? ' ')])
    })
    this.columns = columns
    this.#rows = []
    this.#wrapped.clear()
    for (const [index, line] of lines.entries()) {
      this.#lay(line, index === cursor.line ? cursor.offset : undefined)
    }
  }

  #lay(line: string[], cursor: number | undefined): void {
    const first = this.#rows.length
    const count = Math.max(1, Math.ceil(line.length / this.columns))
    for (let row = 0; row < count; row++) {
      this.#rows.push(line.slice(row * this.columns, (row + 1) * this.columns))
      if (row > 0) {
        this.#wrapped.add(first + row)
      }
    }
    if (cursor != null) {
      const row = Math.min(Math.floor(cursor / this.columns), count - 1)
      this.#row = first + row
      this.#column = cursor - row * this.columns
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
        this.#wrapped.add(this.#row)
      }
      this.#current[this.#column++] = character
    }
  }

  /** Whether the alternate screen is shown. */
  get isAlternate(): boolean {
    return this.#hidden != null
  }

  #alternate(command: string): void {
    if (command === 'h') {
      this.#hidden = { rows: this.#rows, row: this.#row, column: this.#column }
      this.#rows = [[]]
      this.#row = 0
      this.#column = 0
    } else if (this.#hidden != null) {
      this.#rows = this.#hidden.rows
      this.#row = this.#hidden.row
      this.#column = this.#hidden.column
      this.#hidden = undefined
    }
  }

  #control(command: string, given: number, parameters: string): void {
    if (parameters === '?1049') {
      this.#alternate(command)
      return
    }
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
      case 'H':
        this.#row = 0
        this.#column = 0
        break
      case 'J':
        if (given === 2) {
          this.#rows = this.#rows.map(() => [])
          this.#wrapped.clear()
          break
        }
        this.#current.length = Math.min(this.#current.length, this.#column)
        this.#rows.length = this.#row + 1
        this.#forgetWraps()
        break
      case 'K':
        this.#current.length = given === 2 ? 0 : Math.min(this.#current.length, this.#column)
        break
    }
  }

  /** Of rows that are no more. */
  #forgetWraps(): void {
    for (const row of this.#wrapped) {
      if (row > this.#row || (row === this.#row && this.#column === 0)) {
        this.#wrapped.delete(row)
      }
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
