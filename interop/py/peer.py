"""A py-libp2p node for interoperability tests: serves the test protocols, or dials a node and checks them.

Install (Debian 12, Python 3.11; system packages: see requirements.txt), from the repository's root:
  python3 -m venv interop/.build/py
  interop/.build/py/bin/pip install --disable-pip-version-check -r interop/py/requirements.txt
Run:
  interop/.build/py/bin/python interop/py/peer.py listen [--muxer yamux|mplex]
  interop/.build/py/bin/python interop/py/peer.py dial ADDR [--muxer yamux|mplex] [--checks a,b]
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import sys

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key_pair
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.utils.varint import read_length_prefixed_protobuf
from multiaddr import Multiaddr

KIB = 1024
CHECK_S = 10
PROGRAM_S = 60
MUXERS = {"yamux": {YAMUX_PROTOCOL_ID: Yamux}, "mplex": {MPLEX_PROTOCOL_ID: Mplex}}
PATTERN = bytes(i % 251 for i in range(64 * KIB))
INDISTINCT = "the other side's stack cannot tell a reset from an end"


def make_host(muxer):
    keys = create_new_key_pair()
    noise = NoiseTransport(keys, noise_privkey=create_new_noise_key_pair().private_key)
    return new_host(key_pair=keys, muxer_opt=MUXERS[muxer], sec_opt={NOISE: noise})


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


async def was_reset(stream):
    """Whether the muxer saw a reset: the read of a reset yamux stream may end in StreamEOF."""
    muxed = stream.muxed_stream
    if not hasattr(muxed, "event_reset"):
        return muxed.reset_received
    # mplex ends the read first and says afterwards whether it was a reset.
    with trio.move_on_after(5):
        await muxed.event_remote_closed.wait()
    return muxed.event_reset.is_set()


async def chunks(stream):
    """What the other side writes, to its end of stream; raises StreamReset when the stream was reset."""
    while True:
        try:
            chunk = await stream.read(64 * KIB)
        except StreamEOF:
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


async def listen(muxer):
    host = make_host(muxer)
    for protocol, handler in Listener().protocols.items():
        host.set_stream_handler(protocol, guarded(handler))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
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
    def __init__(self, host, address):
        self.host, self.info = host, info_from_p2p_addr(Multiaddr(address))
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
        return f"{NOISE} {type(connection.muxed_conn).__name__}"

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


CHECKS = "connect identify ping echo sequential concurrent half-close unsupported reset wrong-peer".split()


async def run_check(dialer, name):
    try:
        with trio.fail_after(CHECK_S):
            value = await getattr(dialer, name.replace("-", "_"))()
        return value if isinstance(value, dict) else {"ok": True, "detail": value}
    except trio.TooSlowError:
        return {"ok": False, "detail": f"took more than {CHECK_S} s"}
    except Exception as error:
        return {"ok": False, "detail": describe(error)}


async def dial(address, muxer, names):
    host, failed = make_host(muxer), False
    dialer = Dialer(host, address)
    with trio.move_on_after(PROGRAM_S):
        async with host.run([]):
            for name in names:
                result = await run_check(dialer, name)
                failed |= result.get("ok") is False
                print(json.dumps({"check": name, **result}, separators=(",", ":")), flush=True)
            await leave(host, 1 if failed else 0)
    print(f"not done after {PROGRAM_S} s", file=sys.stderr)
    os._exit(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["listen", "dial"])
    parser.add_argument("address", nargs="?")
    parser.add_argument("--muxer", choices=MUXERS, default="yamux")
    parser.add_argument("--security", choices=["noise"], default="noise")
    parser.add_argument("--checks", type=lambda text: text.split(","), default=CHECKS)
    args = parser.parse_args()
    if args.command == "listen":
        trio.run(listen, args.muxer)
    elif args.address is None or not set(args.checks) <= set(CHECKS):
        parser.error(f"dial needs an address, and checks out of {','.join(CHECKS)}")
    else:
        trio.run(dial, args.address, args.muxer, args.checks)


main()
