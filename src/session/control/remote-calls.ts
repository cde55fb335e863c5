import {
  AliasSchema,
  ChainListResponseSchema,
  ChainPublishResponseSchema,
  ChainRecordSchema,
  ChainRegisterResponseSchema,
  ChainRemoveResponseSchema,
  ChainShowResponseSchema,
  ChainUnregisterResponseSchema,
  DescribeProtocolResponseSchema,
  FoundPeerSchema,
  ListProtocolsResponseSchema,
  RemoveAliasResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import { joinBytes } from '../../primitives/join-bytes.ts'
import { fitsShortForm, MAX_FOUND, readShortForm } from '../../primitives/short-form.ts'
import type { AliasAnswer, FoundPeer } from '../answers.ts'
import type { AliasSession, CallInput, ChainSession, ProtocolSession, SessionOptions } from '../session.ts'
import { toPlain } from './control-codec.ts'
import { atOnce, type CallSignal, hasNoMethod, type NodeClient, timeOf } from './node-client.ts'
import { Upload, withHead } from './upload.ts'

/** The aliases of a home, through its node. */
export function remoteAliases(client: NodeClient): AliasSession {
  const { service } = client
  return {
    set: async (alias, peer, options = {}) =>
      client.ask(AliasSchema, atOnce(options), async (call) => service.setAlias({ alias, peer }, call)),
    remove: async (alias, options = {}) =>
      client.ask(RemoveAliasResponseSchema, atOnce(options), async (call) => service.removeAlias({ alias }, call)),
    list: async (options = {}) => {
      const { aliases } = await client.call(atOnce(options), async (call) => service.listAliases({}, call))
      return aliases.map((alias) => toPlain<typeof AliasSchema, AliasAnswer>(AliasSchema, alias))
    },
    find: async (shortForm, options = {}) => client.call(atOnce(options), async (call) => findPeers(client, shortForm, call)),
  }
}

/** A node of an earlier version has no such call: then of all peers that it knows. */
async function findPeers({ service }: NodeClient, shortForm: string, call: CallSignal): Promise<FoundPeer[]> {
  try {
    const { peers } = await service.findPeers({ shortForm }, call)
    return peers.map((peer) => toPlain<typeof FoundPeerSchema, FoundPeer>(FoundPeerSchema, peer))
  } catch (error) {
    if (!hasNoMethod(error)) {
      throw error
    }
  }
  const [{ aliases }, { peers }] = await Promise.all([service.listAliases({}, call), service.peers({ all: true }, call)])
  const all = [
    ...peers.map(({ peerId, alias = null, connected }) => ({ peerId, alias, connected })),
    ...aliases
      .filter(({ peerId }) => !peers.some((peer) => peer.peerId === peerId))
      .map(({ peerId, alias }) => ({ peerId, alias, connected: false })),
  ]
  const named = aliases.find(({ alias }) => alias === shortForm)
  const readings = readShortForm(shortForm)
  return named == null
    ? all.filter(({ peerId }) => fitsShortForm(peerId, readings)).slice(0, MAX_FOUND)
    : all
        .filter(({ peerId }) => peerId === named.peerId)
        .map((peer) => ({ ...peer, alias: shortForm }))
        .slice(0, 1)
}

/** The chain, as the node of a home reads and writes it. */
export function remoteChain(client: NodeClient): ChainSession {
  const { service } = client
  return {
    lookup: async (peer, options = {}) =>
      client.ask(ChainRecordSchema, options, async (call) => service.chainLookup({ peer, ...timeOf(options) }, call)),
    show: async (peer, options = {}) =>
      client.ask(ChainShowResponseSchema, options, async (call) =>
        service.chainShow({ ...(peer == null ? {} : { peer }), ...timeOf(options) }, call),
      ),
    publish: async (multiaddrs, options = {}) =>
      client.ask(ChainPublishResponseSchema, options, async (call) => service.chainPublish({ multiaddrs, ...timeOf(options) }, call)),
    list: async ({ all = false, ...options } = {}) =>
      client.ask(ChainListResponseSchema, options, async (call) => service.chainList({ all, ...timeOf(options) }, call)),
    remove: async (options = {}) =>
      client.ask(ChainRemoveResponseSchema, options, async (call) => service.chainRemove(timeOf(options), call)),
    register: async (nodeClass, options = {}) =>
      client.ask(ChainRegisterResponseSchema, options, async (call) =>
        service.chainRegister({ class: nodeClass, ...timeOf(options) }, call),
      ),
    unregister: async (options = {}) =>
      client.ask(ChainUnregisterResponseSchema, options, async (call) => service.chainUnregister(timeOf(options), call)),
  }
}

/** Protocols of other peers, called through the node of a home. */
export function remoteProtocols(client: NodeClient): ProtocolSession {
  const { service } = client
  return {
    list: async (peer, options = {}) =>
      client.ask(ListProtocolsResponseSchema, options, async (call) => service.listProtocols({ peer, ...timeOf(options) }, call)),
    describe: async (peer, protocolId, options = {}) =>
      client.ask(DescribeProtocolResponseSchema, options, async (call) =>
        service.describeProtocol({ peer, protocolId, ...timeOf(options) }, call),
      ),
    call: (peer, input, options = {}) => answersOf(client, peer, input, options),
  }
}

async function* answersOf(
  client: NodeClient,
  peer: string,
  { protocolId, kind, request }: CallInput,
  options: SessionOptions,
): AsyncGenerator<Uint8Array> {
  const upload = new Upload(request)
  const head = { peer, protocolId, kind, ...timeOf(options) }
  let parts: Uint8Array[] = []
  const answers = client.stream(
    options,
    (call) => client.service.call(withHead(head, upload), call),
    () => upload.failure,
  )
  for await (const { chunk, last } of answers) {
    parts.push(chunk)
    if (last) {
      yield joinBytes(parts)
      parts = []
    }
  }
}
