// The p2pd that is named on the command line, as the npm package @libp2p/daemon-client drives it.
//
// Two daemons over Unix sockets, then two over TCP. A line for each thing that was tried; the exit code is 0 when all of them did
// what they should.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createClient } from '@libp2p/daemon-client'
import { ConnManagerRequest, PeerstoreRequest, Request, Response } from '@libp2p/daemon-protocol'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'

const ECHO = '/echo/1.0.0'
const SHOUT = '/shout/1.0.0'
const BYTES = 1 << 20
const QUESTION = Buffer.from('is anybody there?')
const DEADLINE_MS = 60_000
const STRANGER = peerIdFromString('12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq')

const say = (what, told = '') => console.log(`ok    ${what.padEnd(34)}${told}`.trimEnd())

const refused = async (what, work, wanted) => {
  const told = await work().then(() => assert.fail(`${what} was not refused`), error => error.message)
  assert.match(told, wanted, what)
  say(what, `refused: ${told}`)
}

/** Starts a daemon and waits for the lines that go's prints. */
const start = async (program, listen) => {
  const daemon = spawn(program, [`-listen=${listen}`, '-hostAddrs=/ip4/127.0.0.1/tcp/0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise(resolve => daemon.once('exit', resolve))
  let control
  for await (const line of createInterface({ input: daemon.stdout })) {
    control = line.startsWith('Control socket: ') ? line.split(': ')[1] : control
    if (line.startsWith('Peer Addrs:')) break
  }
  assert(control, 'the daemon has told where it is')
  return {
    control,
    stop: async () => {
      daemon.kill('SIGTERM')
      return await ended
    }
  }
}

/** This library writes a path as one component. */
const clientOf = ({ control }) => createClient(multiaddr(control.replace(/^\/unix\/(.*)$/, (_, path) => `/unix/${encodeURIComponent(`/${path}`)}`)))

/** A request that the client has no method for. */
const ask = async (client, request) => {
  const pb = await client.send(request)
  const response = await pb.read(Response)
  await pb.unwrap().close()
  if (response.type !== Response.Type.OK) throw new Error(response.error.msg)
  return response
}

/** Reads until that much has come, or the end. This library's streams close both ways at once, so nobody waits for an end. */
const read = async (stream, length) => {
  const chunks = []
  let missing = length
  for await (const chunk of stream) {
    chunks.push(chunk.subarray())
    missing -= chunk.byteLength
    if (missing <= 0) break
  }
  return Buffer.concat(chunks)
}

const write = async (stream, data) => {
  for (let at = 0; at < data.length; at += 1 << 16) {
    if (!stream.send(data.subarray(at, at + (1 << 16)))) await stream.onDrain()
  }
}

/** Sends all, and reads as much. */
const exchange = async (stream, data) => {
  const [answer] = await Promise.all([read(stream, data.length), write(stream, data)])
  await stream.close()
  return answer
}

const drive = async (alice, bob) => {
  const a = await alice.identify()
  const b = await bob.identify()
  assert(!a.peerId.equals(b.peerId) && a.addrs.length > 0 && b.addrs.length > 0)
  say('identify', `${a.peerId} at ${a.addrs[0]}`)

  assert.deepEqual(await alice.listPeers(), [])
  await refused('connect without an address', () => alice.connect(STRANGER, []), /./)
  await refused('connect to somebody else', () => alice.connect(STRANGER, b.addrs), /./)
  await alice.connect(b.peerId, b.addrs)
  say('connect', `${b.peerId} at ${b.addrs[0]}`)
  const peers = await alice.listPeers()
  assert.deepEqual(peers.map(String), [String(b.peerId)])
  say('list peers', `${peers.length} connection`)

  const data = Buffer.alloc(BYTES, 'abcdefg')
  const echoed = await exchange(await alice.openStream(b.peerId, ECHO), data)
  assert(echoed.equals(data), 'the bytes came back')
  say('stream open', `${ECHO}: ${BYTES} bytes there and back`)

  await refused('stream open, nobody handles it', () => alice.openStream(b.peerId, SHOUT), /does not support/)
  const caught = Promise.withResolvers()
  await bob.registerStreamHandler(SHOUT, async stream => {
    const heard = await read(stream, QUESTION.length)
    await write(stream, Buffer.from(heard.toString().toUpperCase()))
    caught.resolve()
  })
  const shouted = await exchange(await alice.openStream(b.peerId, SHOUT), QUESTION)
  await caught.promise
  assert.equal(shouted.toString(), QUESTION.toString().toUpperCase())
  say('stream handler', SHOUT)

  const peer = b.peerId.toMultihash().bytes
  const { TAG_PEER, UNTAG_PEER, TRIM } = ConnManagerRequest.Type
  const tagging = more => ({ type: Request.Type.CONNMANAGER, connManager: { peer, ...more } })
  await ask(alice, tagging({ type: TAG_PEER, tag: 'friend', weight: 123n }))
  await ask(alice, tagging({ type: UNTAG_PEER, tag: 'friend' }))
  await ask(alice, tagging({ type: TRIM }))
  say('connmanager', 'tag, untag, trim')
  await refused('connmanager without a tag', () => ask(alice, tagging({ type: TAG_PEER })), /missing tag parameter/)

  const known = await ask(alice, { type: Request.Type.PEERSTORE, peerStore: { type: PeerstoreRequest.Type.GET_PROTOCOLS, id: peer } })
  assert(known.peerStore.protos.includes(ECHO))
  say('peer store', `${known.peerStore.protos.length} protocols of the other`)

  const cid = CID.parse('bafkqaaa')
  await refused('dht put', () => alice.dht.put(Buffer.from('/key'), Buffer.from('value')), /DHT not enabled|[Ff]ailed/)
  await refused('dht provide', () => alice.dht.provide(cid), /DHT not enabled|[Ff]ailed/)
  await refused('pubsub', () => alice.pubsub.getTopics(), /PubSub not enabled|[Ff]ailed/)

  const pb = await alice.send({ type: Request.Type.CONNECT })
  const first = await pb.read(Response)
  await pb.write({ type: Request.Type.IDENTIFY }, Request)
  const second = await pb.read(Response)
  await pb.unwrap().close()
  assert.equal(first.type, Response.Type.ERROR)
  assert.equal(second.type, Response.Type.OK)
  say('a request without its parameters', `refused: ${first.error.msg}; the next one on that socket is answered`)

  await ask(bob, { type: Request.Type.DISCONNECT, disconnect: { peer: a.peerId.toMultihash().bytes } })
  while ((await alice.listPeers()).length > 0);
  say('disconnect', 'by the other side; the list is empty')
}

const [program] = process.argv.slice(2)
const daemons = []
// Whatever goes wrong, none of them stays.
process.once('exit', () => daemons.forEach(({ stop }) => stop()))
setTimeout(() => {
  console.error('the whole took too long')
  process.exit(1)
}, DEADLINE_MS).unref()
const folder = await mkdtemp(join(tmpdir(), 'p2pd-js-'))
try {
  for (const [kind, listen] of [['unix', name => `/unix${folder}/${name}.sock`], ['tcp', () => '/ip4/127.0.0.1/tcp/0']]) {
    console.log(`--    control sockets: ${kind}`)
    daemons.splice(0, 2, await start(program, listen('a')), await start(program, listen('b')))
    await drive(...daemons.map(clientOf))
    const codes = [await daemons[0].stop(), await daemons[1].stop()]
    assert.deepEqual(codes, [143, 143])
    say('SIGTERM', `exit codes ${codes.join(' and ')}`)
  }
} finally {
  await rm(folder, { recursive: true })
}
