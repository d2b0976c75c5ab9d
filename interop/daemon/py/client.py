"""The p2pd that is found in PATH, as the Python package p2pclient drives it.

p2pclient starts the daemons itself, with go's flags, and waits for go's lines; over Unix sockets, then over TCP. A line for each
thing that was tried; the exit code is 0 when all of them did what they should.
"""

import sys
from contextlib import AsyncExitStack, contextmanager

import anyio
from p2pclient.daemon import make_p2pd_pair_ip4, make_p2pd_pair_unix
from p2pclient.exceptions import ControlFailure
from p2pclient.libp2p_stubs.peer.id import ID

ECHO = "/echo/1.0.0"
SHOUT = "/shout/1.0.0"
BYTES = 1 << 20
DEADLINE = 60


def say(what, told=""):
    print(f"ok    {what:<34}{told}".rstrip(), flush=True)


@contextmanager
def refused(what, wanted):
    """The daemon answers with an error that has this text."""
    try:
        yield
    except ControlFailure as error:
        assert wanted in str(error), f"{what}: {error}"
        say(what, f"refused: {str(error).removeprefix('connect failed. msg=')}")
    else:
        raise AssertionError(f"{what} was not refused")


async def read_all(stream):
    data = bytearray()
    try:
        while True:
            data += await stream.receive()
    except anyio.EndOfStream:
        return bytes(data)


async def shout(_, stream):
    """Answers what comes in capitals, when all of it has come."""
    data = await read_all(stream)
    await stream.send(data.upper())
    await stream.aclose()


async def exchange(stream, data):
    """Sends all, closes that side, and reads to the end."""
    answer = None

    async def read():
        nonlocal answer
        answer = await read_all(stream)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await stream.send(data)
        await stream.send_eof()
    await stream.aclose()
    return answer


async def connections(client):
    return [info.peer_id for info in await client.list_peers()]


async def drive(alice, bob):
    id_a, addresses_a = await alice.identify()
    id_b, addresses_b = await bob.identify()
    assert id_a != id_b and addresses_a and addresses_b
    say("identify", f"{id_a.to_base58()} at {addresses_a[0]}")

    assert await alice.list_peers() == ()
    stranger = ID(b"\x12\x20" + bytes(range(32)))
    with refused("connect without an address", ""):
        await alice.connect(stranger, [])
    with refused("connect to somebody else", ""):
        await alice.connect(stranger, addresses_b)
    await alice.connect(id_b, addresses_b)
    say("connect", f"{id_b.to_base58()} at {addresses_b[0]}")
    peers = await alice.list_peers()
    assert [info.peer_id for info in peers] == [id_b]
    say("list peers", f"{len(peers)} connection, {peers[0].addrs[0]}")

    info, stream = await alice.stream_open(id_b, [ECHO])
    assert (info.peer_id, info.proto) == (id_b, ECHO)
    data = bytes(range(256)) * (BYTES // 256)
    assert await exchange(stream, data) == data
    say("stream open", f"{ECHO}: {BYTES} bytes there and back, then both ends")

    with refused("stream open, nobody handles it", "does not support"):
        await alice.stream_open(id_b, [SHOUT])
    await bob.stream_handler(SHOUT, shout)
    info, stream = await alice.stream_open(id_b, ["/no/1.0.0", SHOUT])
    assert info.proto == SHOUT
    assert await exchange(stream, b"is anybody there?") == b"IS ANYBODY THERE?"
    say("stream handler", f"{SHOUT}, the second of two that were asked for")
    await bob.stream_handler(SHOUT, shout)
    say("stream handler again", "takes the place of the first")

    await alice.connmgr_tag_peer(id_b, "friend", 123)
    await alice.connmgr_untag_peer(id_b, "friend")
    await alice.connmgr_trim()
    say("connmanager", "tag, untag, trim")
    with refused("connmanager without a tag", "missing tag parameter"):
        await alice.connmgr_tag_peer(id_b, "", 1)

    with refused("dht", "DHT not enabled"):
        await alice.dht_get_value(b"/key")
    with refused("pubsub", "PubSub not enabled"):
        await alice.pubsub_get_topics()

    await bob.disconnect(id_a)
    while await alice.list_peers():
        await anyio.sleep(0.01)
    say("disconnect", "by the other side; the list is empty")
    await alice.disconnect(id_b)
    say("disconnect again", "is no error")


async def main():
    for name, pair in ("unix", make_p2pd_pair_unix), ("tcp", make_p2pd_pair_ip4):
        print(f"--    control sockets: {name}", flush=True)
        with anyio.fail_after(DEADLINE):
            async with AsyncExitStack() as stack:
                options = [name for name in ("control", "connmgr", "dht", "pubsub")]
                enabled = {f"enable_{option}": option == "control" for option in options}
                both = [
                    await stack.enter_async_context(pair("p2pd", **enabled))
                    for _ in range(2)
                ]
                await drive(both[0].client, both[1].client)
                daemons = [one.daemon for one in both]
            codes = [daemon.proc_daemon.returncode for daemon in daemons]
            assert codes == [143, 143], codes
            say("SIGTERM", "exit codes 143 and 143")


if __name__ == "__main__":
    sys.exit(anyio.run(main))
