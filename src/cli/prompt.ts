import inquirer from 'inquirer'
import { Interrupted } from './report.ts'

export interface Choice {
  value: string
  name: string
}

const prompt = inquirer.createPromptModule({ input: process.stdin, output: process.stderr })

/** One of a list. @throws Interrupted */
export async function choose(message: string, choices: Choice[]): Promise<string> {
  const { answer } = await answered(prompt<{ answer: string }>([{ type: 'select', name: 'answer', message, choices, pageSize: 15 }]))
  return answer
}

/** Yes or no; no unless somebody says yes. @throws Interrupted */
export async function confirm(message: string): Promise<boolean> {
  const { answer } = await answered(prompt<{ answer: boolean }>([{ type: 'confirm', name: 'answer', message, default: false }]))
  return answer
}

/** A line of text. @param check gives what is wrong with an answer, if anything is @throws Interrupted */
export async function input(message: string, fallback: string, check: (text: string) => true | string): Promise<string> {
  const { answer } = await answered(
    prompt<{ answer: string }>([{ type: 'input', name: 'answer', message, default: fallback, validate: check }]),
  )
  return answer
}

async function answered<T>(question: Promise<T>): Promise<T> {
  return question.catch((error) => {
    throw error instanceof Error && error.name === 'ExitPromptError' ? new Interrupted('SIGINT') : error
  })
}
