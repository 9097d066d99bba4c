"""A job's hub, those who come to it, and a crowd that only holds places: each a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import read_log

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("DAGZ_ZB", ROOT / "build/dev/bin/zb")).parent
SOON_S = 20.0
ESTABLISHED = "01"
# What is freed is given back, so that a process's size tells what it holds.
ENV = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"}


def wait_for(what: str, condition: Callable[[], Any], limit_s: float = SOON_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


def memory(pid: int) -> int:
    """Bytes that are resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def connections(port: int) -> int:
    """How many there are to that port of this machine, by the kernel's tables."""
    found = 0
    for table in ("tcp", "tcp6"):  # who listens at [::] has those of IPv4 in the second
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            found += state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    return found


class Child:
    """A process that answers in lines and ends with its input."""

    def __init__(self, *argv: object, **env: str) -> None:
        self.process = subprocess.Popen(
            list(map(str, argv)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**ENV, **env},
        )

    def line(self, limit_s: float = SOON_S) -> str:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], limit_s)
        assert ready, f"{self.process.args}: says nothing"
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Its last line."""
        out, _ = self.process.communicate(timeout=SOON_S)
        assert self.process.returncode == 0, self.process.args
        return out.splitlines()[-1] if out.strip() else ""


class Hub(Child):
    def __init__(self, log: Path | None = None, files: int = 0) -> None:
        """`files`: so many descriptors it may have; 0: as many as this process."""
        self.log = log
        limit = ["prlimit", f"--nofile={files}:{files}"] if files else []
        super().__init__(*limit, BIN / "job_hub", **({"DAGZ_AGENT_LOG": str(log)} if log else {}))
        self.key, self.node, self.endpoint = self.line().split()
        self.port = int(self.endpoint.rpartition(":")[2])
        self.address = ("127.0.0.1", self.port)
        self.pid = self.process.pid

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, kind: type[BaseException] | None, *unused: object) -> None:
        if kind is None:
            self.end()
        else:
            self.process.kill()
            self.process.communicate()

    def ask(self, command: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        return self.line()

    def admit(self, member: Member) -> None:
        assert self.ask(f"admit {member.key}") == "ok"

    def expel(self, member: Member) -> None:
        assert self.ask(f"expel {member.key}") == "ok"

    def count(self) -> dict[str, int]:
        return dict(json.loads(self.ask("count")))

    def cuts(self, event: str) -> list[int]:
        """How many connections were cut off, by each line of its log that says so."""
        assert self.log
        return [int(line["cut"]) for line in read_log(self.log) if line.get("event") == event]

    def member(self, way: str, **kwargs: str) -> Member:
        """One whose key is admitted."""
        member = Member(self, way, **kwargs)
        self.admit(member)
        return member


class Member:
    """Comes to the hub while the block lasts; `told` is what it says at the end."""

    def __init__(
        self, hub: Hub, way: str, *, secret: str = "", server: str = "", endpoint: str = "", other: str = ""
    ) -> None:
        self.secret = secret or secrets.token_hex(32)
        self.argv = [BIN / "member", way, self.secret, server or hub.key, endpoint or hub.endpoint, other]
        shown = subprocess.run(
            [BIN / "member", "key", self.secret], stdout=subprocess.PIPE, text=True, check=True
        )
        self.key, self.node = shown.stdout.split()
        self.told: dict[str, Any] = {}

    def __enter__(self) -> Member:
        self.child = Child(*filter(None, self.argv))
        return self

    def is_up(self) -> None:
        assert self.child.line() == "up"

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is not None:
            self.child.process.kill()
            self.child.process.communicate()
            return
        self.told = json.loads(self.child.end())


class Crowd:
    """So many connections that say nothing, or a byte now and then; see crowd.py."""

    def __init__(self, kind: str, port: int, count: int) -> None:
        self.child = Child(sys.executable, Path(__file__).with_name("crowd.py"), kind, port, count)
        assert self.child.line() == "there"

    def end(self) -> dict[str, int]:
        return dict(json.loads(self.child.end()))


class Recorder:
    """Between a member and its hub: passes bytes on, and keeps what the member sent."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.sent = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        near, _ = self.listener.accept()
        far = socket.create_connection(self.hub.address)
        with near, far:
            while True:
                for one in select.select([near, far], [], [])[0]:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    if one is near:
                        self.sent += piece
                    (far if one is near else near).sendall(piece)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *unused: object) -> None:
        self.thread.join(SOON_S)
        self.listener.close()


def is_cut(connection: socket.socket) -> bool:
    """Wait until the other end hangs up."""
    connection.settimeout(SOON_S)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
