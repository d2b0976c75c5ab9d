// A js-libp2p node for interoperability tests: serves the test protocols, or dials a node and checks them.
//
// Install (Linux; the lock file brings its own Node, so any npm will do), from the repository's root:
//   mkdir -p interop/.build/js
//   cp interop/js/package.json interop/js/package-lock.json interop/js/.npmrc interop/js/peer.mjs interop/.build/js/
//   (cd interop/.build/js && npm ci)
// Run (modules are found beside the file, hence the copy):
//   interop/.build/js/node_modules/.bin/node interop/.build/js/peer.mjs listen|dial ADDR [--transport tcp|ws|wss|quic-v1]
//     [--security noise|tls] [--muxer yamux|mplex] [--key-type T] [--ip 4|6]
//     listen: [--tls-cert FILE --tls-key FILE]   dial: [--tls-ca FILE] [--checks a,b] [--bulk-bytes N]
//   … peer.mjs serve ADDR…   with js-libp2p's own defaults, to be attacked
//
// To write the lock file anew: npm install --package-lock-only --omit=dev, then delete the `funding` entries.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { parseArgs } from 'node:util'
import { quic } from '@chainsafe/libp2p-quic'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const KIB = 1024
// Bounds for what hangs, not for what is slow: a busy machine must not meet them.
const CHECK_MS = 30_000
const PROGRAM_MS = 180_000
// js-libp2p allows 32 inbound and 64 outbound streams per protocol unless told otherwise; its mplex closes a connection
// on which more than five streams a second are opened (disconnectThreshold).
const STREAMS = { maxInboundStreams: 1000, maxOutboundStreams: 1000 }
const INDISTINCT = "the other side's stack cannot tell a reset from an end"

const PIECE = 256 * KIB
const LISTEN = { tcp: '/tcp/0', ws: '/tcp/0/ws', wss: '/tcp/0/tls/ws', 'quic-v1': '/udp/0/quic-v1' }
const IP = { 4: '/ip4/127.0.0.1', 6: '/ip6/::1' }
const KEYS = { ed25519: ['Ed25519'], rsa: ['RSA', 2048], secp256k1: ['secp256k1'], ecdsa: ['ECDSA'] }
const SECURITIES = { noise, tls }
const MUXERS = { yamux: () => yamux(), mplex: () => mplex({ disconnectThreshold: 10_000 }) }

function transport (options) {
  switch (options.transport) {
    case 'tcp': return tcp()
    case 'quic-v1': return quic()
    case 'wss': return webSockets(options['tls-cert'] && { https: { cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) } })
    default: return webSockets()
  }
}

async function node (options, listen) {
  const inside = options.transport === 'quic-v1'
    ? {}
    : { connectionEncrypters: [SECURITIES[options.security]()], streamMuxers: [MUXERS[options.muxer]()] }
  return createLibp2p({
    privateKey: await generateKeyPair(...KEYS[options['key-type']]),
    addresses: { listen },
    transports: [transport(options)],
    connectionManager: { inboundConnectionThreshold: Infinity }, // otherwise five a second from one host
    ...inside,
    // The connection monitor pings, too.
    services: { identify: identify(), ping: ping({ maxInboundStreams: 10, maxOutboundStreams: 10 }) }
  })
}

const sha256 = bytes => createHash('sha256').update(bytes).digest()
const pattern = length => Buffer.from(Array.from({ length }, (_, i) => i % 251))

const filler = pattern(PIECE)

function expect (condition, message) {
  if (!condition) throw new Error(message)
}

/** One line that names the cause: js-libp2p wraps errors in AggregateError. */
const describe = error => error instanceof Event ? `${error.type} event` : [`${error.name}: ${error.message}`, ...(error.errors ?? []).map(describe)].join('; ').replace(/\s+/g, ' ')

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

/** Writes `left` bytes of numbered pieces, so that a lost or swapped one shows, and gives their hash. */
async function sendBulk (stream, left) {
  const hash = createHash('sha256')
  for (let number = 0; left > 0; number++) {
    const piece = Buffer.from(filler.subarray(0, Math.min(left, PIECE)))
    if (piece.length >= 8) piece.writeBigUInt64BE(BigInt(number))
    hash.update(piece)
    await write(stream, piece)
    left -= piece.length
  }
  return hash.digest()
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

function handlers ({ transport }) {
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
      const end = bytes => transport === 'quic-v1' ? 'indistinct' : `eof ${bytes.length}`
      observed.set(await readAll(stream).then(end, () => 'reset'))
    },
    '/interop/last/1.0.0': tell(observed),
    // A count and that many bytes come in; their hash, as many bytes and their hash go out.
    '/interop/bulk/1.0.0': async stream => {
      const hash = createHash('sha256')
      let head = Buffer.alloc(0)
      await receive(stream, chunk => {
        const missing = 8 - head.length
        head = Buffer.concat([head, chunk.subarray(0, missing)])
        hash.update(chunk.subarray(missing))
      })
      await write(stream, hash.digest())
      await write(stream, await sendBulk(stream, Number(head.readBigUInt64BE())))
      await stream.close()
    },
    '/interop/reset/1.0.0': stream => receive(stream, () => stream.abort(new Error('asked to reset')))
  }
}

/** A node as js-libp2p makes it when nobody asks for anything else: every limit is its own. */
async function serve (listen) {
  const libp2p = await createLibp2p({
    addresses: { listen },
    transports: [tcp(), webSockets(), quic()],
    connectionEncrypters: [noise(), tls()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() }
  })
  await libp2p.handle('/echo/1.0.0', stream => {
    handlers({})['/echo/1.0.0'](stream).catch(error => stream.abort(error))
  })
  // Public addresses are none that it tells of until somebody has confirmed them.
  announce(libp2p, listen.map(address => `${address}/p2p/${libp2p.peerId}`))
}

/** Says where it listens, and stops when stdin ends. */
function announce (libp2p, addresses) {
  for (const address of addresses) console.log(`listening ${address}`)
  process.stdin.resume().on('end', async () => {
    await deadline(libp2p.stop(), 2000, 'stop').catch(() => {})
    process.exit(0)
  })
}

async function listen (options) {
  const libp2p = await node(options, [IP[options.ip] + LISTEN[options.transport]])
  for (const [protocol, handler] of Object.entries(handlers(options))) {
    await libp2p.handle(protocol, stream => {
      Promise.resolve(handler(stream)).catch(error => stream.abort(error))
    }, STREAMS)
  }
  announce(libp2p, libp2p.getMultiaddrs())
}

// --- the dialing side ---

async function echo (dialer, bytes) {
  const stream = await dialer.open('/echo/1.0.0')
  const reply = readAll(stream)
  await Promise.all([reply, write(stream, bytes).then(() => stream.close())])
  expect(sha256(await reply).equals(sha256(bytes)), `${(await reply).length} bytes came back, or changed, of ${bytes.length}`)
}

/** Splits what arrives into an answer of 32 bytes, `length` bytes that are only hashed, and a trailer of 32 bytes. */
async function receiveBulk (stream, length, onAnswer) {
  const hash = createHash('sha256')
  let [answer, trailer, left] = [Buffer.alloc(0), Buffer.alloc(0), length]
  await receive(stream, chunk => {
    const missing = 32 - answer.length
    if (missing > 0) {
      answer = Buffer.concat([answer, chunk.subarray(0, missing)])
      chunk = chunk.subarray(missing)
      if (answer.length === 32) onAnswer(answer)
    }
    const body = chunk.subarray(0, left)
    hash.update(body)
    left -= body.length
    trailer = Buffer.concat([trailer, chunk.subarray(body.length)])
  })
  expect(left === 0, `down: an end ${left} bytes too early`)
  expect(trailer.equals(hash.digest()), "down: another hash than the listener's")
}

async function ask (dialer, protocol) {
  const stream = await dialer.open(protocol)
  await stream.close()
  return (await readAll(stream)).toString().trim()
}

const CHECKS = {
  async connect (dialer) {
    await dialer.connected
    if (dialer.options.transport === 'quic-v1') return 'quic-v1'
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
    if (await error == null && dialer.options.transport === 'quic-v1') return { skip: 'js-libp2p reads the reset of a QUIC stream as its end' }
    expect(await error != null, 'the reset stream ended cleanly')
    return answer === 'indistinct' ? { skip: INDISTINCT } : `the listener saw a reset; here: ${describe(await error)}`
  },
  async 'wrong-peer' (dialer) {
    const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const address = multiaddr(dialer.address.toString().replace(/\/p2p\/.*/, '') + `/p2p/${other}`)
    const error = await dialer.libp2p.dial(address).then(() => null, error => error)
    expect(error != null, 'a connection to another peer than asked for')
    expect(/mismatch|match|unexpected|but connected to/i.test(describe(error)), `unclear error: ${describe(error)}`)
    return describe(error)
  },
  async connections (dialer) {
    const libp2p = await node(dialer.options, [])
    for (let i = 1; i <= 100; i++) {
      try {
        const connection = await libp2p.dial(dialer.address, { signal: AbortSignal.timeout(CHECK_MS) })
        await echo({ open: protocol => connection.newStream(protocol, STREAMS) }, randomBytes(100))
        await connection.close()
      } catch (error) {
        throw new Error(`connection ${i} of 100: ${describe(error)}`)
      }
    }
    await deadline(libp2p.stop(), 2000, 'stop').catch(() => {})
    return '100 connections'
  },
  async bulk (dialer) {
    const length = Number(dialer.options['bulk-bytes'])
    const stream = await dialer.open('/interop/bulk/1.0.0')
    const head = Buffer.alloc(8)
    head.writeBigUInt64BE(BigInt(length))
    const start = Date.now()
    let middle
    const sent = Promise.withResolvers()
    const down = receiveBulk(stream, length, answer => {
      middle = Date.now()
      sent.promise.then(sum => expect(sum.equals(answer), 'the listener has another hash of what went up')).catch(error => stream.abort(error))
    })
    down.catch(() => {})
    await write(stream, head)
    sent.resolve(await sendBulk(stream, length))
    await stream.close()
    await down
    const mib = length / KIB / KIB
    const speed = ms => `${Math.round(mib * 1000 / ms)} MiB/s`
    return `${mib} MiB each way, up ${speed(middle - start)}, down ${speed(Date.now() - middle)}`
  }
}

/** How long a check may take. */
function limit (name, options) {
  if (name === 'connections') return 3 * CHECK_MS
  return name === 'bulk' ? CHECK_MS + 1000 * (Number(options['bulk-bytes']) / KIB / KIB) : CHECK_MS
}

async function dial (address, options, names) {
  if (options['tls-ca'] != null) setDefaultCACertificates([...getCACertificates(), readFileSync(options['tls-ca'], 'utf8')])
  const libp2p = await node(options, [])
  const identified = new Promise(resolve => libp2p.addEventListener('peer:identify', event => resolve(event.detail), { once: true }))
  const dialer = { libp2p, options, identified, address: multiaddr(address) }
  dialer.connected = libp2p.dial(dialer.address, { signal: AbortSignal.timeout(CHECK_MS) }).then(connection => { dialer.connection = connection })
  dialer.open = protocol => dialer.connection.newStream(protocol, { ...STREAMS, signal: AbortSignal.timeout(CHECK_MS) })
  let failed = false
  for (const name of names) {
    const result = await deadline(dialer.connected.then(() => CHECKS[name](dialer)), limit(name, options), name)
      .then(value => value.skip == null ? { ok: true, detail: value } : value, error => ({ ok: false, detail: describe(error) }))
    failed ||= result.ok === false
    console.log(JSON.stringify({ check: name, ...result }))
  }
  await deadline(libp2p.stop(), 2000, 'stop').catch(() => {})
  process.exit(failed ? 1 : 0)
}

const { positionals: [command, address, ...others], values } = parseArgs({
  allowPositionals: true,
  options: {
    transport: { type: 'string', default: 'tcp' },
    muxer: { type: 'string', default: 'yamux' },
    security: { type: 'string', default: 'noise' },
    'key-type': { type: 'string', default: 'ed25519' },
    ip: { type: 'string', default: '4' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    'tls-ca': { type: 'string' },
    'bulk-bytes': { type: 'string', default: `${64 * KIB * KIB}` },
    checks: { type: 'string', default: Object.keys(CHECKS).join() }
  }
})
const names = values.checks.split(',')
const bad = [[LISTEN, 'transport'], [MUXERS, 'muxer'], [SECURITIES, 'security'], [KEYS, 'key-type'], [IP, 'ip']].find(([known, name]) => !(values[name] in known))
if (bad != null || !names.every(name => name in CHECKS) || !(command === 'listen' || (['dial', 'serve'].includes(command) && address != null))) {
  console.error(`usage: peer.mjs listen|dial ADDR|serve ADDR…, options as the top of the file says, checks out of ${Object.keys(CHECKS)}`)
  process.exit(2)
}
if (values['key-type'] === 'ecdsa') {
  console.error('js-libp2p makes no peer id of an ECDSA key')
  process.exit(3)
}
if (command === 'listen') {
  await listen(values)
} else if (command === 'serve') {
  await serve([address, ...others])
} else {
  const all = PROGRAM_MS + names.reduce((sum, name) => sum + limit(name, values) - CHECK_MS, 0)
  setTimeout(() => { console.error(`not done after ${all} ms`); process.exit(1) }, all).unref()
  await dial(address, values, names)
}
