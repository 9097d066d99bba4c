"""A crowd of connections that hold a place each, until this program's input ends.

    crowd.py zmtp|http PORT COUNT

Every other one says nothing; the rest send a byte of a good beginning every half a second.  Who is cut off
comes again.  Prints "there" when all have been, and at the end how many were cut off.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time

BEGINNINGS = {
    "zmtp": b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47),
    "http": b"POST /api/v1/jobs/01J0000000000000000000000A/records HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 1000000\r\n\r\n" + bytes(1000),
}
EVERY_S = 0.5
TICK_S = 0.05
AT_ONCE = 200  # connections that are made in one tick


class Crowd:
    def __init__(self, kind: str, port: int, count: int) -> None:
        self.beginning, self.port, self.count = BEGINNINGS[kind], port, count
        self.selector = selectors.DefaultSelector()
        self.sent: dict[socket.socket, int] = {}  # bytes of the beginning
        self.opened = self.cut = 0

    def come(self) -> None:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", self.port))
        self.selector.register(one, selectors.EVENT_READ)
        self.sent[one] = 0
        self.opened += 1

    def go(self, one: socket.socket) -> None:
        self.selector.unregister(one)
        self.sent.pop(one)
        one.close()
        self.cut += 1

    def hear(self, one: socket.socket) -> None:
        try:
            if one.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.go(one)

    def dribble(self) -> None:
        for at, one in enumerate(list(self.sent)):
            if at % 2:
                continue
            place = self.sent[one]
            try:
                one.send(self.beginning[place : place + 1] or b"x")
                self.sent[one] += 1
            except BlockingIOError:
                continue
            except OSError:
                self.go(one)

    def run(self) -> None:
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        is_told, tick, due = False, time.monotonic(), time.monotonic() + EVERY_S
        while True:
            if time.monotonic() >= tick:
                tick += TICK_S
                for _ in range(min(AT_ONCE, self.count - len(self.sent))):
                    self.come()
            if not is_told and self.opened >= self.count:
                is_told = True
                print("there", flush=True)
            for key, _ in self.selector.select(TICK_S / 2):
                if key.fileobj is sys.stdin:
                    return
                self.hear(key.fileobj)  # type: ignore[arg-type]
            if time.monotonic() >= due:
                due += EVERY_S
                self.dribble()


def main() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    crowd.run()
    print(json.dumps({"opened": crowd.opened, "cut": crowd.cut}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
