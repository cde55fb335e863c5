import type { AliasAnswer } from '../session/answers.ts'
import AliasList from './alias/list.ts'

export default class Alias extends AliasList {
  static override summary = 'List the aliases of peers; the same as "alias list".'
  static override examples = [
    '<%= config.bin %> alias',
    '<%= config.bin %> alias set bob 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
  ]

  override async run(): Promise<AliasAnswer[]> {
    return super.run()
  }
}
