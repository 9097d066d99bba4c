"""A server between a run and its daemon that answers wrongly, as often as it is told to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LONG = 10**9


def plain(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def short(handler: Handler) -> None:
    """Half of what was announced, and then the end of the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"schema":"dagz.rec')
    handler.close_connection = True


def endless(handler: Handler) -> None:
    """More than anybody should take."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass
    handler.close_connection = True


def cut(handler: Handler) -> None:
    """What was sent arrives, but the answer does not."""
    handler.forward(answer=False)
    handler.close_connection = True


def silent(handler: Handler) -> None:
    handler.server.release.wait(20)  # type: ignore[attr-defined]
    handler.close_connection = True


NOTHING_TAKEN = (
    b'{"schema":"dagz.receipt/1","short":"","stored":{"results":0,"texts":0,"logs":0,"spans":0},"taken":0,'
    b'"wants_list":false,"sealed":false,"ledger_wrong":false,"counted":0,"digest":"0000000000000000"}'
)

FAULTS: dict[str, Callable[[Handler], None]] = {
    "garbage": lambda h: plain(h, 200, b"\xff\xfe<html>welcome to the hotel</html>"),
    "stuck": lambda h: plain(h, 200, NOTHING_TAKEN),
    "other-json": lambda h: plain(h, 200, b'{"schema":"dagz.receipt/1","stored":[]}'),
    "short": short,
    "endless": endless,
    "cut": cut,
    "silent": silent,
    "500": lambda h: plain(h, 500, b"oops"),
    "503": lambda h: plain(h, 503, b"busy", Retry_After="1"),
    "507": lambda h: plain(h, 507, b"full"),
    "413": lambda h: plain(h, 413, b"large"),
}
FINAL: dict[str, Callable[[Handler], None]] = {
    "401": lambda h: plain(h, 401, b'{"detail":"this token is not known here"}'),
    "302": lambda h: plain(h, 302, Location="http://127.0.0.1:1/elsewhere"),
    "404": lambda h: plain(h, 404, b"no such page"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server: FaultServer = self.server.owner  # type: ignore[attr-defined]
        fault = server.next_fault(self.path)
        if fault is None:
            self.forward()
        else:
            fault(self)

    def forward(self, answer: bool = True) -> None:
        server: FaultServer = self.server.owner  # type: ignore[attr-defined]
        parts = urlsplit(server.target)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        names = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "authorization")}
        connection.request(self.command, self.path, self.body or None, names)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if answer:
            plain(self, response.status, data, Content_Type=response.getheader("Content-Type", ""))


class FaultServer:
    """`times` answers to records (or what `verb` names) are `fault`; the rest go to the store at `target`."""

    def __init__(
        self, target: str, fault: Callable[[Handler], None], times: int = LONG, verb: str = "records"
    ) -> None:
        self.target = target
        self.verb = verb
        self.fault = fault
        self.left = times
        self.asked = 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.owner = self  # type: ignore[attr-defined]
        self.http.release = threading.Event()  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def next_fault(self, path: str) -> Callable[[Handler], None] | None:
        with self.lock:
            self.asked += 1
            if not path.endswith(f"/{self.verb}") or self.left == 0:
                return None
            self.left -= 1
            return self.fault

    def close(self) -> None:
        self.http.release.set()  # type: ignore[attr-defined]
        self.http.shutdown()
        self.http.server_close()
