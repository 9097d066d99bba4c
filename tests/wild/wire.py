"""A TCP proxy between hosts that does to their connections what networks and middleboxes do.

    wire = Wire(net, hosts, store, cert, key)       # all that they say to each other goes through it now
    wire.set([(a, b)], delay_s=0.2)                 # what a says to b arrives later
    wire.set([(a, b)], is_cut=True)                 # nothing arrives; what was said waits, as in TCP
    wire.set([(a, b)], is_bytes=True)               # one byte at a time
    wire.set([(a, b)], reset_after=5000)            # RST, each time that so much has passed
    wire.set([(a, store)], is_refusing=True)        # every question is answered 503

Nobody knows of it: it runs on a host of its own, through which the others are routed, takes connections to any
address (IP_TRANSPARENT), and makes the second half of each from the address of who asked.  A connection that
cannot be made is reset, as it is by middleboxes.  Each direction has a sky of its own; without one that is set,
bytes pass as they come.

It is a process, told by a line of JSON each, and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netns

FIRST_PORT, LAST_PORT = 49152, 49183  # where agents listen: the first of these that is free
STORE_PORT = 29111
IP_TRANSPARENT = 19
CHUNK = 64 << 10
QUEUED = 16  # chunks under way in one direction
SINGLE = 2000  # bytes of a chunk that go one by one; the rest follows at once
CONNECT_S = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing is a RST
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nRetry-After: 1\r\nConnection: close\r\n\r\nbusy"
LET_IN = ("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")


class Wire:
    """The proxy, as the test sees it."""

    def __init__(
        self, net: netns.Net, hosts: list[netns.Host], store: netns.Host, cert: Path, key: Path
    ) -> None:
        self.router = net.host()
        self.router.space.ip("route add local default dev lo table 7")
        self.router.space.ip("rule add iif eth0 lookup 7 priority 1")
        for host in [*hosts, store, self.router]:
            for setting in LET_IN:
                host.space.set(setting)
        net.lead_through(self.router, [*hosts, store])
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(cert), str(key)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=self.router.enter,
            env={"PYTHONPATH": str(Path(netns.__file__).parent)},
        )
        self.hear()

    def hear(self) -> None:
        assert self.process.stdout and self.process.stdout.readline() == "done\n", "the proxy has ended"

    def set(self, pairs: Iterable[tuple[netns.Host, netns.Host]], **sky: Any) -> None:
        assert self.process.stdin
        named = [(sender.address, receiver.address) for sender, receiver in pairs]
        self.process.stdin.write(json.dumps({"pairs": named, "sky": sky}) + "\n")
        self.process.stdin.flush()
        self.hear()

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


# ---------------------------------------------------------------- the process


class Reset(Exception):
    pass


@dataclass
class Sky:
    """What becomes of all that one host says to another."""

    delay_s: float = 0.0
    is_cut: bool = False
    is_bytes: bool = False
    reset_after: int = 0
    is_refusing: bool = False
    passed: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, told: dict[str, Any]) -> None:
        for name, value in told.items():
            setattr(self, name, value)
        (self.is_open.clear if self.is_cut else self.is_open.set)()

    def let(self, count: int) -> None:
        self.passed += count
        if self.reset_after and self.passed >= self.reset_after:
            self.passed = 0
            raise Reset


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Until all are done; when one fails, the others are ended too."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pump(source: socket.socket, sink: socket.socket, sky: Sky) -> None:
    """One direction, to its end."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)

    async def take() -> None:
        data = b"-"
        while data:
            data = await loop.sock_recv(source, CHUNK)
            await under_way.put((loop.time() + sky.delay_s, data))

    async def give() -> None:
        while True:
            at, data = await under_way.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            await sky.is_open.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sky.let(len(data))
            singles = min(SINGLE, len(data)) if sky.is_bytes else 0
            for at_byte in range(singles):
                await loop.sock_sendall(sink, data[at_byte : at_byte + 1])
                await asyncio.sleep(0)
            await loop.sock_sendall(sink, data[singles:])

    await together(take(), give())


class Proxy:
    def __init__(self, cert: str, key: str) -> None:
        self.skies: dict[tuple[str, str], Sky] = {}
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        self.going: dict[asyncio.Task[None], tuple[str, str]] = {}

    def sky(self, sender: str, receiver: str) -> Sky:
        if (sender, receiver) not in self.skies:
            self.skies[sender, receiver] = Sky()
            self.skies[sender, receiver].change({})
        return self.skies[sender, receiver]

    def tell(self, line: bytes) -> None:
        told = json.loads(line)
        for sender, receiver in told["pairs"]:
            self.sky(sender, receiver).change(told["sky"])
            if told["sky"].get("is_refusing"):  # connections that are open do not go on
                for task in [t for t, pair in self.going.items() if pair == (sender, receiver)]:
                    task.cancel()

    async def answer_busy(self, client: socket.socket) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=self.tls)
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().splitlines():
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        transport.write(BUSY)
        transport.close()

    async def carry(self, client: socket.socket, sender: str, target: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        there, back = self.sky(sender, target[0]), self.sky(target[0], sender)
        if there.is_refusing:
            await self.answer_busy(client)
            return
        await there.is_open.wait()
        await back.is_open.wait()
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            server.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setblocking(False)
            server.bind((sender, 0))
            await asyncio.wait_for(loop.sock_connect(server, target), CONNECT_S)
            await together(pump(client, server, there), pump(server, client, back))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))

    async def serve(self, client: socket.socket, sender: str, target: tuple[str, int]) -> None:
        """Whatever goes wrong ends in a reset of both."""
        with client, contextlib.suppress(OSError, EOFError, Reset, TimeoutError, asyncio.CancelledError):
            await self.carry(client, sender, target)

    def accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, (sender, _) = listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = client.getsockname()
            task = asyncio.get_running_loop().create_task(self.serve(client, sender, target))
            self.going[task] = (sender, target[0])
            task.add_done_callback(self.going.pop)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for port in [STORE_PORT, *range(FIRST_PORT, LAST_PORT + 1)]:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            listener.listen(64)
            listener.setblocking(False)
            loop.add_reader(listener, self.accept, listener)
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print("done", flush=True)
        while line := await lines.readline():
            self.tell(line)
            print("done", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Proxy(*sys.argv[1:]).run())
