import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { KeptClient, socketLink } from './link.ts'

/** A key that both sides know stands in for a certificate; the cipher is the one that node prefers. */
const TLS = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'PSK-AES256-GCM-SHA384' } as const
const PRE_SHARED = { psk: Buffer.alloc(32, 1), identity: 'bench' }

type Answer = (body: Buffer) => Uint8Array

/** Answers every frame on plain TCP; gives the port on loopback. */
export async function listenTcp(answer: Answer): Promise<number> {
  return listen(createServer((socket) => answerOn(socket, answer)))
}

/** Answers every frame on TLS; gives the port on loopback. */
export async function listenTls(answer: Answer): Promise<number> {
  return listen(createTlsServer({ ...TLS, pskCallback: () => PRE_SHARED.psk }, (socket) => answerOn(socket, answer)))
}

export async function connectedTcp(port: number): Promise<KeptClient> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return new KeptClient((onFrame) => socketLink(socket, onFrame))
}

export async function connectedTls(port: number): Promise<KeptClient> {
  const socket: TLSSocket = connectTls({
    ...TLS,
    host: '127.0.0.1',
    port,
    pskCallback: () => PRE_SHARED,
    checkServerIdentity: () => undefined,
  })
  await once(socket, 'secureConnect')
  return new KeptClient((onFrame) => socketLink(socket, onFrame))
}

function answerOn(socket: Socket, answer: Answer): void {
  const link = socketLink(socket, (body) => link.send(answer(body)))
  // a client that is gone needs no answer
  socket.on('error', () => socket.destroy())
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
