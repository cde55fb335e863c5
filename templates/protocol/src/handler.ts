import type { RequestContext } from 'subnet-cli'
import type { __Pascal__Request } from './gen/__snake___pb.ts'

/** Answers one request. The compiler checks the answer against the response's fields. If it throws, the caller gets REMOTE_FAILED. */
export async function handle(request: __Pascal__Request, { peerId }: RequestContext) {
  return { text: `Hello ${request.name}, you are ${peerId.toString()}` }
}
