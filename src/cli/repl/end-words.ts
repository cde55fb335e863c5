/** Lines that end a shell or a script. They are no commands. */
export const END_WORDS = ['exit', 'quit']

export function endsShell(line: string): boolean {
  return END_WORDS.includes(line.trim())
}
