/** Returns the only response, after ensuring that no further one and no error follows. */
export async function onlyOf<Message>(messages: AsyncIterable<Message>): Promise<Message> {
  let only: { message: Message } | undefined
  for await (const message of messages) {
    if (only != null) {
      throw new Error('more than one answer')
    }
    only = { message }
  }
  if (only == null) {
    throw new Error('no answer')
  }
  return only.message
}
