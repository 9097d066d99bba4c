"""A real daemon on a free port, and clients made of the standard library."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab import read_log
from zb_place import FILL, TIMEOUT_S, ZB, Place

SOON_S = 20  # for what takes milliseconds, on a machine that is busy


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "")

    def json(self) -> Any:
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class DaemonPlace(Place):
    """A place whose daemon, once it is up, is asked by `ask`."""

    def settings(self, text: str) -> None:
        path = self.home / "local.env/daemon.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def tokens(self, text: str) -> None:
        path = self.home / "local.env/tokens"
        path.write_text(text)
        path.chmod(0o600)

    def up(self, *args: str) -> str:
        if not (self.home / "local.env/daemon.yaml").exists():
            self.settings("port: 0\n")
        done = self.zb("daemon", "up", "--bg", *args)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return self.url()

    def url(self) -> str:
        return (self.home / "local.env/daemon.url").read_text().strip()

    def pid(self) -> int:
        return int((self.home / "local.env/daemon.pid").read_text().split()[0])

    def log(self) -> list[dict[str, Any]]:
        return read_log(self.home / "local.env/daemon.log")

    def down(self) -> None:
        self.zb("daemon", "down")

    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url())
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def ask(self, target: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(*self.address(), timeout=SOON_S)
        return ask_on(connection, target, method, body, headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address(), timeout=SOON_S)

    def events(self, query: str = "", **headers: str) -> Events:
        return Events(self.address(), query, headers)

    def running(self) -> subprocess.Popen[str]:
        """A job that runs: every line written to its stdin becomes output of a test."""
        argv = [str(FILL), str(self.home), str(self.dir), "running"]
        return subprocess.Popen(argv, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def daemon(folder: Path, settings: str = "port: 0\n", tokens: str = "", **env: str) -> Iterator[DaemonPlace]:
    """A daemon that is up, with a home of its own in that folder, which is made; gone afterwards.

    tokens: the file that `settings` name.  env: what its environment has besides.
    """
    folder.mkdir()
    place = DaemonPlace(folder)
    place.env |= env
    place.settings(settings)
    if tokens:
        place.tokens(tokens)
    try:
        place.up()
        yield place
    finally:
        place.down()


def ask_on(
    connection: http.client.HTTPConnection,
    target: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request(
        method, target, body, {name.replace("_", "-"): v for name, v in (headers or {}).items()}
    )
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return answer


@dataclass
class Event:
    id: str
    name: str
    data: Any


class Events:
    """A client of /api/v1/events, as the standard wants one: ids without data count, too."""

    def __init__(self, address: tuple[str, int], query: str, headers: dict[str, str]) -> None:
        self.last_id = ""
        self.connection = http.client.HTTPConnection(*address, timeout=SOON_S)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("GET", "/api/v1/events" + query, None, names)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def __iter__(self) -> Iterator[Event]:
        name, data, last = "message", "", self.last_id
        while True:
            line = self.response.readline().decode().removesuffix("\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                last = value
            elif field == "event":
                name = value
            elif field == "data":
                data += value
            elif not line:
                self.last_id = last
                if data:
                    yield Event(last, name, json.loads(data))
                name, data = "message", ""

    def take(self, count: int) -> list[Event]:
        events: list[Event] = []
        for event in self:
            events.append(event)
            if len(events) == count:
                break
        return events

    def until(self, name: str, **fields: Any) -> list[Event]:
        """All events up to the first of that name whose data have these fields."""
        events: list[Event] = []
        for event in self:
            events.append(event)
            if event.name == name and all(event.data.get(k) == v for k, v in fields.items()):
                break
        return events

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def wait_for(what: str, condition: Any, limit_s: float = SOON_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Not one that has ended and that nobody has waited for yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def foreground(place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ZB, "daemon", "up"],
        cwd=place.dir,
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], by: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(by)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


def make_certificate(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    argv += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    argv += ["-addext", f"subjectAltName=DNS:localhost,IP:{address}"]
    subprocess.run(argv, check=True, capture_output=True, timeout=TIMEOUT_S)
    return cert, key


def trusting(cert: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    return context
