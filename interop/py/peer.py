"""A py-libp2p node for interoperability tests: serves the test protocols, or dials a node and checks them.

Install (Debian 12, Python 3.11; system packages: see requirements.txt), from the repository's root:
  python3 -m venv interop/.build/py
  interop/.build/py/bin/pip install --disable-pip-version-check -r interop/py/requirements.txt
Run:
  interop/.build/py/bin/python interop/py/peer.py listen|dial ADDR [--transport tcp|ws|wss|quic-v1] [--security noise|tls]
    [--muxer yamux|mplex] [--key-type T] [--ip 4|6]
    listen: [--tls-cert FILE --tls-key FILE]   dial: [--tls-ca FILE] [--checks a,b] [--bulk-bytes N]
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import ssl
import sys
import time

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.rsa import create_new_key_pair as create_new_rsa_key_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as create_new_secp256k1_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key_pair
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.config import ConnectionConfig
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.rcmgr import new_resource_manager
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.tls.transport import PROTOCOL_ID as TLS
from libp2p.security.tls.transport import TLSTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.quic.exceptions import QUICStreamClosedError
from libp2p.transport.quic.stream import QUICStream, StreamState
from libp2p.utils.varint import read_length_prefixed_protobuf
from multiaddr import Multiaddr

KIB = 1024
# Bounds for what hangs, not for what is slow: a busy machine must not meet them.
CHECK_S = 30
PROGRAM_S = 180
MUXERS = {"yamux": {YAMUX_PROTOCOL_ID: Yamux}, "mplex": {MPLEX_PROTOCOL_ID: Mplex}}
PATTERN = bytes(i % 251 for i in range(64 * KIB))
INDISTINCT = "the other side's stack cannot tell a reset from an end"


KEYS = {
    "ed25519": create_new_key_pair,
    "rsa": create_new_rsa_key_pair,
    "secp256k1": create_new_secp256k1_key_pair,
    "ecdsa": None,
}
LISTEN = {"tcp": "/tcp/0", "ws": "/tcp/0/ws", "wss": "/tcp/0/wss", "quic-v1": "/udp/0/quic-v1"}
IP = {"4": "/ip4/127.0.0.1", "6": "/ip6/::1"}
PIECE = 256 * KIB
CONNECTIONS_MAX = 1000
CONNECTIONS = 20  # half a second each, of which py-libp2p sleeps most


def make_host(options):
    keys = KEYS[options.key_type]()
    noise = NoiseTransport(keys, noise_privkey=create_new_noise_key_pair().private_key)
    security = {NOISE: noise} if options.security == "noise" else {TLS: TLSTransport(keys)}
    client = server = None
    if options.tls_cert:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(options.tls_cert, options.tls_key)
    if options.tls_ca:
        client = ssl.create_default_context(cafile=options.tls_ca)
    # Without limits: otherwise eight connections per peer, and one that has ended counts for a while; and sixty per minute.
    limits = new_resource_manager(connection_limits=ConnectionLimits().with_max_established_per_peer(CONNECTIONS_MAX))
    limits.connection_rate_limiter = None
    return new_host(
        key_pair=keys,
        muxer_opt=MUXERS[options.muxer],
        sec_opt=security,
        listen_addrs=[listen_address(options)],
        tls_client_config=client,
        tls_server_config=server,
        connection_config=ConnectionConfig(max_connections_per_peer=CONNECTIONS_MAX),
        resource_manager=limits,
    )


def listen_address(options):
    return Multiaddr(IP[options.ip] + LISTEN[options.transport])


def describe(error):
    """One line: the error and what first caused it. py-libp2p wraps errors several times."""
    cause = error
    while nested := getattr(cause, "exceptions", None) or getattr(cause, "errors", None) or [cause.__cause__]:
        if nested[0] is None:
            break
        cause = nested[0]
    outer = "" if cause is error else f"{type(error).__name__} because of "
    return re.sub(r"\s+", " ", f"{outer}{type(cause).__name__}: {cause}")


def expect(condition, message):
    if not condition:
        raise RuntimeError(message)


hasty_read = QUICStream.read


async def patient_read(self, n=None):
    """QUICStream.read of py-libp2p 0.8.1 without its two races, which would spoil every check that reads an end.

    It looks for bytes, then waits for a lock, and then looks for the end: bytes and an end that come together meanwhile are
    told as the end alone. And handle_stop_sending marks a stream that we opened as closed both ways.
    """
    while True:
        try:
            return await hasty_read(self, n)
        except (EOFError, QUICStreamClosedError):
            stopped = self._state is StreamState.CLOSED and not self._read_closed and not self._close_event.is_set()
            if stopped:
                self._state = StreamState.WRITE_CLOSED
            elif not self._receive_buffer:
                raise


QUICStream.read = patient_read


async def was_reset(stream):
    """Whether the muxer saw a reset: the read of a reset yamux stream may end in StreamEOF."""
    muxed = stream.muxed_stream
    if isinstance(muxed, QUICStream):
        return muxed.is_reset()
    if not hasattr(muxed, "event_reset"):
        return muxed.reset_received
    # mplex ends the read first and says afterwards whether it was a reset.
    with trio.move_on_after(CHECK_S / 2):
        await muxed.event_remote_closed.wait()
    return muxed.event_reset.is_set()


async def chunks(stream):
    """What the other side writes, to its end of stream; raises StreamReset when the stream was reset."""
    while True:
        try:
            chunk = await stream.read(64 * KIB)
        except StreamEOF:
            chunk = b""
        except StreamReset as error:
            # What a QUIC stream says after a clean end, too, once both directions have ended.
            if not isinstance(error.__cause__, QUICStreamClosedError):
                raise
            chunk = b""
        if not chunk and await was_reset(stream):
            raise StreamReset("the stream was reset")
        if not chunk:
            return
        yield chunk


async def read_all(stream):
    return b"".join([chunk async for chunk in chunks(stream)])


async def write(stream, data):
    for at in range(0, len(data), 64 * KIB):
        await stream.write(data[at : at + 64 * KIB])


async def send_bulk(stream, left):
    """Writes `left` bytes of numbered pieces, so that a lost or swapped one shows, and gives their hash."""
    digest, piece, number = hashlib.sha256(), bytearray(i % 251 for i in range(PIECE)), 0
    while left > 0:
        piece[:8] = number.to_bytes(8, "big")
        part = bytes(piece[: min(left, PIECE)])
        digest.update(part)
        await write(stream, part)
        left, number = left - len(part), number + 1
    return digest.digest()


# --- the listening side ---


class Record:
    """How the last stream of a kind ended, for a later stream to ask: waits for one that is still running."""

    def __init__(self):
        self.ready, self.ending = trio.Event(), "no such stream"

    def set(self, ending):
        self.ending = ending
        self.ready.set()

    async def tell(self, stream):
        with trio.move_on_after(CHECK_S / 2):
            await self.ready.wait()
        await stream.write(self.ending.encode())
        self.__init__()


class Listener:
    def __init__(self):
        self.observed, self.sourced = Record(), Record()
        self.protocols = {
            "/echo/1.0.0": self.echo,
            "/interop/hash/1.0.0": self.hash,
            "/interop/source/1.0.0": self.source,
            "/interop/last-source/1.0.0": self.sourced.tell,
            "/interop/observe/1.0.0": self.observe,
            "/interop/last/1.0.0": self.observed.tell,
            "/interop/reset/1.0.0": self.reset,
            "/interop/bulk/1.0.0": self.bulk,
        }

    async def echo(self, stream):
        async for chunk in chunks(stream):
            await stream.write(chunk)

    async def hash(self, stream):
        await stream.write(hashlib.sha256(await read_all(stream)).digest())

    async def source(self, stream):
        await stream.write(PATTERN)
        await stream.close_write()
        try:
            self.sourced.set(str(len(await read_all(stream))))
        except Exception as error:
            self.sourced.set(describe(error))

    async def observe(self, stream):
        try:
            self.observed.set(f"eof {len(await read_all(stream))}")
        except StreamReset:
            self.observed.set("reset")

    async def bulk(self, stream):
        """A count and that many bytes come in; their hash, as many bytes and their hash go out."""
        head, digest = b"", hashlib.sha256()
        async for chunk in chunks(stream):
            missing = 8 - len(head)
            head += chunk[:missing]
            digest.update(chunk[missing:])
        await stream.write(digest.digest())
        await stream.write(await send_bulk(stream, int.from_bytes(head, "big")))

    async def reset(self, stream):
        await stream.read(1)
        await stream.reset()


def guarded(handler):
    """An error in a handler resets its stream, and does not end the program."""

    async def run(stream):
        try:
            await handler(stream)
            if not await was_reset(stream):
                await stream.close()
        except Exception as error:
            print(describe(error), file=sys.stderr)
            await stream.reset()

    return run


async def listen(options):
    host = make_host(options)
    for protocol, handler in Listener().protocols.items():
        host.set_stream_handler(protocol, guarded(handler))
    async with host.run([listen_address(options)]):
        for address in host.get_addrs():
            print(f"listening {address}", flush=True)
        await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        await leave(host, 0)


async def leave(host, code):
    """Closes the host within a bound, then the process: py-libp2p leaves tasks behind that trio would wait for."""
    with trio.move_on_after(2):
        await host.close()
    sys.stdout.flush()
    os._exit(code)


# --- the dialing side ---


class Dialer:
    def __init__(self, host, address, options):
        self.host, self.address, self.options = host, address, options
        # py-libp2p parses /tls/ws, and yet dials only /wss.
        self.info = info_from_p2p_addr(Multiaddr(address.replace("/tls/ws", "/wss")))
        host.get_peerstore().add_addrs(self.info.peer_id, self.info.addrs, PROGRAM_S)  # opening a stream dials

    async def open(self, protocol):
        return await self.host.new_stream(self.info.peer_id, [protocol])

    async def roundtrip(self, protocol, data, echoes=False):
        """Writes everything, half-closes, and returns the reply."""
        stream, early = await self.open(protocol), b""
        if isinstance(stream.muxed_conn, Mplex):
            # A pending read holds off all writes to the same stream (its ReadWriteLock): take turns instead.
            for at in range(0, len(data), 64 * KIB):
                await stream.write(data[at : at + 64 * KIB])
                while echoes and len(early) < min(at + 64 * KIB, len(data)):
                    early += await stream.read(64 * KIB)
            await stream.close_write()
            return early + await read_all(stream)

        async def send():
            await write(stream, data)
            await stream.close_write()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            return await read_all(stream)

    async def echo_once(self, length):
        data = secrets.token_bytes(length)
        reply = await self.roundtrip("/echo/1.0.0", data, echoes=True)
        same = hashlib.sha256(reply).digest() == hashlib.sha256(data).digest()
        expect(same, f"{len(reply)} bytes came back, or changed, of {length}")

    async def ask(self, protocol):
        return (await self.roundtrip(protocol, b"")).decode().strip()

    async def connect(self):
        await self.host.connect(self.info)
        (connection,) = self.host.get_network().connections[self.info.peer_id]
        return f"{self.options.security} {type(connection.muxed_conn).__name__}"

    async def identify(self):
        stream = await self.open(IDENTIFY)
        message = Identify()
        message.ParseFromString(await read_length_prefixed_protobuf(stream, use_varint_format=True))
        expect(message.agent_version, "no agent version")
        expect("/ipfs/ping/1.0.0" in message.protocols, f"/ipfs/ping/1.0.0 is not among {list(message.protocols)}")
        return f"{message.agent_version}, {len(message.protocols)} protocols"

    async def ping(self):
        return f"{await PingService(self.host).ping(self.info.peer_id, 3)} ms"

    async def echo(self):
        await self.echo_once(KIB * KIB)
        return f"{KIB * KIB} bytes"

    async def sequential(self):
        for _ in range(50):
            await self.echo_once(100)
        return "50 streams"

    async def concurrent(self):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(self.echo_once, KIB)
        return "100 streams"

    async def half_close(self):
        data = secrets.token_bytes(100 * KIB)
        digest = await self.roundtrip("/interop/hash/1.0.0", data)
        expect(digest == hashlib.sha256(data).digest(), f"hash: got {len(digest)} bytes, not the digest")
        source = await self.open("/interop/source/1.0.0")
        expect(await read_all(source) == PATTERN, "source: other bytes than the pattern")
        await source.write(secrets.token_bytes(KIB))
        await source.close()
        count = await self.ask("/interop/last-source/1.0.0")
        expect(count == "1024", f'source: the listener counted "{count}" instead of 1024')
        return "hash after end, 1024 bytes written after the remote ended"

    async def unsupported(self):
        try:
            await self.open("/interop/nothing/1.0.0")
        except Exception as error:
            expect("not supported" in describe(error), f"unclear error: {describe(error)}")
            await self.echo_once(100)
            return describe(error)
        raise RuntimeError("an unknown protocol was opened")

    async def reset(self):
        observed = await self.open("/interop/observe/1.0.0")
        await observed.write(secrets.token_bytes(KIB))
        await observed.reset()
        answer = await self.ask("/interop/last/1.0.0")
        expect(answer in ("reset", "indistinct"), f'the listener saw "{answer}" instead of a reset')
        stream = await self.open("/interop/reset/1.0.0")
        await stream.write(b"x")
        try:
            await read_all(stream)
        except StreamReset as error:
            if answer == "indistinct":
                return {"skip": INDISTINCT}
            return f"the listener saw a reset; here: {describe(error)}"
        raise RuntimeError("the reset stream ended cleanly")

    async def wrong_peer(self):
        other = ID.from_pubkey(create_new_key_pair().public_key)
        try:
            await self.host.connect(PeerInfo(other, self.info.addrs))
        except Exception as error:
            expect(re.search("mismatch", describe(error), re.I), f"unclear error: {describe(error)}")
            return describe(error)
        raise RuntimeError("a connection to another peer than asked for")


    async def connections(self):
        host = make_host(self.options)
        async with host.run([]):
            for i in range(1, CONNECTIONS + 1):
                try:
                    await host.connect(self.info)
                    await Dialer(host, self.address, self.options).echo_once(100)
                    await host.disconnect(self.info.peer_id)
                    # Identify has brought the same address as /tls/ws/p2p/…, which it would now prefer and cannot dial.
                    host.get_peerstore().clear_addrs(self.info.peer_id)
                except Exception as error:
                    raise RuntimeError(f"connection {i} of {CONNECTIONS}: {describe(error)}") from None
            with trio.move_on_after(2):
                await host.close()
        return f"{CONNECTIONS} connections"

    async def bulk(self):
        length = self.options.bulk_bytes
        stream, start = await self.open("/interop/bulk/1.0.0"), time.monotonic()
        await stream.write(length.to_bytes(8, "big"))
        sent = await send_bulk(stream, length)
        await stream.close_write()
        answer, digest, left, trailer = b"", hashlib.sha256(), length, b""
        async for chunk in chunks(stream):
            missing = 32 - len(answer)
            if missing > 0:
                answer, chunk, middle = answer + chunk[:missing], chunk[missing:], time.monotonic()
            digest.update(chunk[:left])
            trailer, left = trailer + chunk[left:], left - len(chunk[:left])
        expect(answer == sent, "the listener has another hash of what went up")
        expect(left == 0, f"down: an end {left} bytes too early")
        expect(trailer == digest.digest(), "down: another hash than the listener's")
        mib, end = length / KIB / KIB, time.monotonic()
        speeds = f"up {mib / (middle - start):.1f} MiB/s, down {mib / (end - middle):.1f} MiB/s"
        return f"{mib:.0f} MiB each way, {speeds}"


CHECKS = (
    "connect identify ping echo sequential concurrent half-close unsupported reset wrong-peer connections bulk".split()
)


def limit(name, options):
    """How long a check may take."""
    if name == "connections":
        return 3 * CHECK_S
    return CHECK_S + options.bulk_bytes / KIB / KIB if name == "bulk" else CHECK_S


async def run_check(dialer, name):
    try:
        with trio.fail_after(limit(name, dialer.options)):
            value = await getattr(dialer, name.replace("-", "_"))()
        return value if isinstance(value, dict) else {"ok": True, "detail": value}
    except trio.TooSlowError:
        return {"ok": False, "detail": f"took more than {limit(name, dialer.options):.0f} s"}
    except Exception as error:
        return {"ok": False, "detail": describe(error)}


async def dial(address, options):
    host, failed = make_host(options), False
    dialer = Dialer(host, address, options)
    program_s = PROGRAM_S + sum(limit(name, options) - CHECK_S for name in options.checks)
    with trio.move_on_after(program_s):
        async with host.run([]):
            for name in options.checks:
                result = await run_check(dialer, name)
                failed |= result.get("ok") is False
                print(json.dumps({"check": name, **result}, separators=(",", ":")), flush=True)
            await leave(host, 1 if failed else 0)
    print(f"not done after {program_s} s", file=sys.stderr)
    os._exit(1)


def no(reason):
    """The exit code of a stack that lacks what is asked for."""
    print(reason, file=sys.stderr)
    return 3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["listen", "dial"])
    parser.add_argument("address", nargs="?")
    parser.add_argument("--transport", choices=LISTEN, default="tcp")
    parser.add_argument("--muxer", choices=MUXERS, default="yamux")
    parser.add_argument("--security", choices=["noise", "tls"], default="noise")
    parser.add_argument("--key-type", choices=KEYS, default="ed25519")
    parser.add_argument("--ip", choices=IP, default="4")
    for file in ("--tls-cert", "--tls-key", "--tls-ca"):
        parser.add_argument(file)
    parser.add_argument("--bulk-bytes", type=int, default=64 * KIB * KIB)
    parser.add_argument("--checks", type=lambda text: text.split(","), default=CHECKS)
    options = parser.parse_args()
    if options.key_type == "ecdsa":
        sys.exit(no("py-libp2p cannot sign with an ECDSA key"))
    if options.transport == "quic-v1" and options.ip == "6":
        sys.exit(no("py-libp2p's QUIC does not connect over IPv6, not even to itself"))
    if options.command == "listen":
        trio.run(listen, options)
    elif options.address is None or not set(options.checks) <= set(CHECKS):
        parser.error(f"dial needs an address, and checks out of {','.join(CHECKS)}")
    else:
        trio.run(dial, options.address, options)


main()
