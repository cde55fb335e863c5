export function setV8Flags(command: string | undefined, options?: string[]): void
