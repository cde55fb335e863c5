export function setV8Flags(command: string | undefined): void
