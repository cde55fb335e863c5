import assert from 'node:assert/strict'
import type * as OwnSchemas from '../../src/gen/task_protocol_pb.ts'
import type * as OwnLibrary from '../../src/index.ts'
import type { Body, Destination, SubnetNode, TaskRequest, TaskResponse } from '../../src/index.ts'

export const TASK = '/subnet/task_protocol/1.0.0'

/** What sending a task takes of the library, of whatever version. */
export type TaskLibrary = Pick<typeof OwnLibrary, 'createNode' | 'ProtocolBase' | 'streamedCodec'>

export type TaskSchemas = Pick<typeof OwnSchemas, 'TaskRequestSchema' | 'TaskResponseSchema'>

/** Sends a task that must be accepted, and gives its result. */
export type SendTask = (to: Destination, payload: Uint8Array | Body) => Promise<Buffer>

type Streamed<Message> = { message: Partial<Message>; body: Uint8Array | Body }

export interface TaskSenderInit {
  library: TaskLibrary
  schemas: TaskSchemas
  node: SubnetNode
  /** False to give each task a stream of its own. */
  pipelined: boolean
}

/** Sends tasks from a node, over kept streams or not. */
export function taskSender({ library: { ProtocolBase, streamedCodec }, schemas, node, pipelined }: TaskSenderInit): SendTask {
  class Sender extends ProtocolBase<Streamed<TaskRequest>, Streamed<TaskResponse>, unknown, { message: TaskResponse; body: Body }> {
    constructor() {
      const request = streamedCodec(schemas.TaskRequestSchema, 'payload')
      super(node, { id: TASK, request, response: streamedCodec(schemas.TaskResponseSchema, 'result'), serve: false, pipelined })
    }

    async send(to: Destination, payload: Uint8Array | Body): Promise<Buffer> {
      const { message, body } = await this.callRemote(to, { message: { taskId: 'a task' }, body: payload })
      assert.equal(message.accepted, true, message.error)
      return Buffer.concat(await Array.fromAsync(body.chunks))
    }

    protected override async handleRequest(): Promise<never> {
      return assert.fail('it only calls')
    }
  }
  const sender = new Sender()
  return async (to, payload) => sender.send(to, payload)
}

/** A body without a size. */
export function ofUnknownSize(bytes: Uint8Array): Body {
  return {
    size: undefined,
    chunks: (async function* () {
      for (let at = 0; at < bytes.byteLength; at += 50_000) {
        yield bytes.subarray(at, at + 50_000)
      }
    })(),
  }
}
