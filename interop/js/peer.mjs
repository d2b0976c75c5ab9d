// A js-libp2p node for interoperability tests: serves the test protocols, or dials a node and checks them.
//
// Install (Linux; the lock file brings its own Node, so any npm will do), from the repository's root:
//   mkdir -p interop/.build/js
//   cp interop/js/package.json interop/js/package-lock.json interop/js/.npmrc interop/js/peer.mjs interop/.build/js/
//   (cd interop/.build/js && npm ci)
// Run (modules are found beside the file, hence the copy):
//   interop/.build/js/node_modules/.bin/node interop/.build/js/peer.mjs listen [--muxer yamux|mplex]
//   interop/.build/js/node_modules/.bin/node interop/.build/js/peer.mjs dial ADDR [--muxer yamux|mplex] [--checks a,b]
//
// To write the lock file anew: npm install --package-lock-only --omit=dev, then delete the `funding` entries.

import { createHash, randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const KIB = 1024
const CHECK_MS = 10_000
const PROGRAM_MS = 60_000
// js-libp2p allows 32 inbound and 64 outbound streams per protocol unless told otherwise; its mplex closes a connection
// on which more than five streams a second are opened (disconnectThreshold).
const STREAMS = { maxInboundStreams: 1000, maxOutboundStreams: 1000 }
const INDISTINCT = "the other side's stack cannot tell a reset from an end"

const node = (muxer, listen) => createLibp2p({
  addresses: { listen },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [muxer === 'mplex' ? mplex({ disconnectThreshold: 10_000 }) : yamux()],
  services: { identify: identify(), ping: ping() }
})

const sha256 = bytes => createHash('sha256').update(bytes).digest()
const pattern = length => Buffer.from(Array.from({ length }, (_, i) => i % 251))

function expect (condition, message) {
  if (!condition) throw new Error(message)
}

/** One line that names the cause: js-libp2p wraps errors in AggregateError. */
const describe = error => [`${error.name}: ${error.message}`, ...(error.errors ?? []).map(describe)].join('; ').replace(/\s+/g, ' ')

function deadline (promise, ms, what) {
  let timer
  const late = new Promise((resolve, reject) => { timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/**
 * Reads to the remote's end of stream; rejects when the stream was reset. Written on the stream's events because its
 * async iterator never ends when the remote's close came before the iterator.
 */
function receive (stream, onChunk) {
  return new Promise((resolve, reject) => {
    let work = Promise.resolve()
    const finish = () => {
      const { status } = stream
      work = work.then(() => ['reset', 'aborted'].includes(status) ? reject(new Error(`stream was ${status}`)) : resolve())
    }
    // Bytes read ahead by the negotiation are put back after the stream's end was announced: look at the buffer too.
    const finishAtEnd = () => { if (stream.readableEnded && stream.readBufferLength === 0) finish() }
    stream.addEventListener('message', event => {
      const chunk = Buffer.from(event.data.subarray())
      work = work.then(() => onChunk(chunk))
      work.catch(reject)
      finishAtEnd()
    })
    stream.addEventListener('end', finishAtEnd)
    stream.addEventListener('close', () => { if (stream.readBufferLength === 0) finish() })
    finishAtEnd()
  })
}

async function readAll (stream) {
  const chunks = []
  await receive(stream, chunk => { chunks.push(chunk) })
  return Buffer.concat(chunks)
}

async function write (stream, bytes, piece = 64 * KIB) {
  for (let at = 0; at < bytes.length; at += piece) {
    if (!stream.send(bytes.subarray(at, at + piece))) await stream.onDrain()
  }
}

// --- the listening side ---

/** How the last stream of a kind ended, for a later stream to ask: waits for one that is still running. */
class Record {
  #ready = Promise.withResolvers()
  set (ending) {
    this.#ready.resolve(ending)
  }

  async take () {
    const ending = await deadline(this.#ready.promise, CHECK_MS / 2, 'the stream asked about').catch(error => error.message)
    this.#ready = Promise.withResolvers()
    return ending
  }
}

function handlers () {
  const observed = new Record()
  const sourced = new Record()
  const tell = record => async stream => {
    await write(stream, Buffer.from(await record.take()))
    await stream.close()
  }
  return {
    '/echo/1.0.0': async stream => {
      await receive(stream, chunk => write(stream, chunk))
      await stream.close()
    },
    '/interop/hash/1.0.0': async stream => {
      await write(stream, sha256(await readAll(stream)))
      await stream.close()
    },
    '/interop/source/1.0.0': async stream => {
      await write(stream, pattern(64 * KIB))
      const read = readAll(stream)
      await stream.close()
      sourced.set(await read.then(bytes => `${bytes.length}`, describe))
    },
    '/interop/last-source/1.0.0': tell(sourced),
    '/interop/observe/1.0.0': async stream => {
      observed.set(await readAll(stream).then(bytes => `eof ${bytes.length}`, () => 'reset'))
    },
    '/interop/last/1.0.0': tell(observed),
    '/interop/reset/1.0.0': stream => receive(stream, () => stream.abort(new Error('asked to reset')))
  }
}

async function listen (muxer) {
  const libp2p = await node(muxer, ['/ip4/127.0.0.1/tcp/0'])
  for (const [protocol, handler] of Object.entries(handlers())) {
    await libp2p.handle(protocol, stream => {
      Promise.resolve(handler(stream)).catch(error => stream.abort(error))
    }, STREAMS)
  }
  for (const address of libp2p.getMultiaddrs()) console.log(`listening ${address}`)
  process.stdin.resume().on('end', async () => {
    await deadline(libp2p.stop(), 2000, 'stop').catch(() => {})
    process.exit(0)
  })
}

// --- the dialing side ---

async function echo (dialer, bytes) {
  const stream = await dialer.open('/echo/1.0.0')
  const reply = readAll(stream)
  await Promise.all([reply, write(stream, bytes).then(() => stream.close())])
  expect(sha256(await reply).equals(sha256(bytes)), `${(await reply).length} bytes came back, or changed, of ${bytes.length}`)
}

async function ask (dialer, protocol) {
  const stream = await dialer.open(protocol)
  await stream.close()
  return (await readAll(stream)).toString().trim()
}

const CHECKS = {
  async connect (dialer) {
    await dialer.connected
    return `${dialer.connection.encryption} ${dialer.connection.multiplexer}`
  },
  async identify (dialer) {
    const { agentVersion, protocols } = await dialer.identified
    expect(agentVersion, 'no agent version')
    expect(protocols.includes('/ipfs/ping/1.0.0'), `/ipfs/ping/1.0.0 is not among ${protocols}`)
    return `${agentVersion}, ${protocols.length} protocols`
  },
  async ping (dialer) {
    const times = []
    for (let i = 0; i < 3; i++) times.push(await dialer.libp2p.services.ping.ping(dialer.connection.remotePeer))
    return `${times.join(', ')} ms`
  },
  async echo (dialer) {
    await echo(dialer, randomBytes(KIB * KIB))
    return `${KIB * KIB} bytes`
  },
  async sequential (dialer) {
    for (let i = 0; i < 50; i++) await echo(dialer, randomBytes(100))
    return '50 streams'
  },
  async concurrent (dialer) {
    await Promise.all(Array.from({ length: 100 }, () => echo(dialer, randomBytes(KIB))))
    return '100 streams'
  },
  async 'half-close' (dialer) {
    const bytes = randomBytes(100 * KIB)
    const hash = await dialer.open('/interop/hash/1.0.0')
    const digest = readAll(hash)
    await Promise.all([digest, write(hash, bytes).then(() => hash.close())])
    expect(sha256(bytes).equals(await digest), `hash: got ${(await digest).length} bytes, not the digest`)
    const source = await dialer.open('/interop/source/1.0.0')
    expect((await readAll(source)).equals(pattern(64 * KIB)), 'source: other bytes than the pattern')
    await write(source, randomBytes(KIB))
    await source.close()
    const count = await ask(dialer, '/interop/last-source/1.0.0')
    expect(count === '1024', `source: the listener counted "${count}" instead of 1024`)
    return 'hash after end, 1024 bytes written after the remote ended'
  },
  async unsupported (dialer) {
    const error = await dialer.open('/interop/nothing/1.0.0').then(() => null, error => error)
    expect(error != null, 'an unknown protocol was opened')
    expect(error.name === 'UnsupportedProtocolError', `unclear error: ${describe(error)}`)
    await echo(dialer, randomBytes(100))
    return describe(error)
  },
  async reset (dialer) {
    const observed = await dialer.open('/interop/observe/1.0.0')
    await write(observed, randomBytes(KIB))
    observed.abort(new Error('a reset to be seen'))
    const answer = await ask(dialer, '/interop/last/1.0.0')
    expect(['reset', 'indistinct'].includes(answer), `the listener saw "${answer}" instead of a reset`)
    const stream = await dialer.open('/interop/reset/1.0.0')
    const error = readAll(stream).then(() => null, error => error)
    await write(stream, Buffer.of(1))
    expect(await error != null, 'the reset stream ended cleanly')
    return answer === 'indistinct' ? { skip: INDISTINCT } : `the listener saw a reset; here: ${describe(await error)}`
  },
  async 'wrong-peer' (dialer) {
    const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const address = multiaddr(dialer.address.toString().replace(/\/p2p\/.*/, '') + `/p2p/${other}`)
    const error = await dialer.libp2p.dial(address).then(() => null, error => error)
    expect(error != null, 'a connection to another peer than asked for')
    expect(/mismatch|match|unexpected/i.test(describe(error)), `unclear error: ${describe(error)}`)
    return describe(error)
  }
}

async function dial (address, muxer, names) {
  const libp2p = await node(muxer, [])
  const identified = new Promise(resolve => libp2p.addEventListener('peer:identify', event => resolve(event.detail), { once: true }))
  const dialer = { libp2p, identified, address: multiaddr(address) }
  dialer.connected = libp2p.dial(dialer.address, { signal: AbortSignal.timeout(CHECK_MS) }).then(connection => { dialer.connection = connection })
  dialer.open = protocol => dialer.connection.newStream(protocol, { ...STREAMS, signal: AbortSignal.timeout(CHECK_MS) })
  let failed = false
  for (const name of names) {
    const result = await deadline(dialer.connected.then(() => CHECKS[name](dialer)), CHECK_MS, name)
      .then(value => value.skip == null ? { ok: true, detail: value } : value, error => ({ ok: false, detail: describe(error) }))
    failed ||= result.ok === false
    console.log(JSON.stringify({ check: name, ...result }))
  }
  await deadline(libp2p.stop(), 2000, 'stop').catch(() => {})
  process.exit(failed ? 1 : 0)
}

const { positionals: [command, address], values } = parseArgs({
  allowPositionals: true,
  options: {
    muxer: { type: 'string', default: 'yamux' },
    security: { type: 'string', default: 'noise' },
    checks: { type: 'string', default: Object.keys(CHECKS).join() }
  }
})
const names = values.checks.split(',')
const bad = !['yamux', 'mplex'].includes(values.muxer) || values.security !== 'noise' || !names.every(name => name in CHECKS)
if (bad || !(command === 'listen' || (command === 'dial' && address != null))) {
  console.error(`usage: peer.mjs listen|dial ADDR [--muxer yamux|mplex] [--security noise] [--checks ${Object.keys(CHECKS)}]`)
  process.exit(2)
}
if (command === 'listen') {
  await listen(values.muxer)
} else {
  setTimeout(() => { console.error(`not done after ${PROGRAM_MS} ms`); process.exit(1) }, PROGRAM_MS).unref()
  await dial(address, values.muxer, names)
}
