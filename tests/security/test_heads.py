"""Bytes that are no request: a problem document in answer, and a daemon that goes on."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from daemon_place import Answer, DaemonPlace, daemon
from people import wait_for

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
PUT = b"POST /api/v1/meetings/key/enter HTTP/1.1\r\n" + HOST
HEAD_MAX = 16 << 10
LIBRARYS_OWN = 2 * HEAD_MAX  # where a later request is cut off by the library

BAD = {
    "one word": (b"GARBAGE\r\n\r\n", 400),
    "many words": (b"hello there world and more\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\n" + HOST + b"\r\n", 400),
    "a space in the target": (b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "another protocol": (b"GET /healthz FTP/1.1\r\n" + HOST + b"\r\n", 400),
    "TLS": (bytes.fromhex("16030100c4010000c00303") + b"\xaa" * 190, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    "a long target": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a long header": (GET + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431),
    "many headers": (GET + b"X: y\r\n" * 100 + b"\r\n", 400),
    "a thousand headers": (GET + b"X: y\r\n" * 5000 + b"\r\n", 431),
    "no colon": (GET + b"nothing\r\n\r\n", 400),
    "a NUL": (GET + b"X\0: y\r\n\r\n", 400),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "no Host, old": (b"GET /healthz HTTP/1.0\r\n\r\n", 400),
    "length that is none": (PUT + b"Content-Length: abc\r\n\r\n", 400),
    "length below zero": (PUT + b"Content-Length: -5\r\n\r\n", 400),
    "length beyond all numbers": (PUT + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 413),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonPlace]:
    with daemon(tmp_path_factory.mktemp("heads") / "store") as place:
        yield place


def read_answer(sock: socket.socket) -> Answer:
    with http.client.HTTPResponse(sock) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def metric(store: DaemonPlace, name: str) -> int:
    lines = store.ask("/metrics").body.decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith(name))


def check_problem(answer: Answer, status: int) -> None:
    assert (answer.status, answer.type) == (status, "application/problem+json"), answer
    assert answer.json()["status"] == status
    assert answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors" in answer.headers["content-security-policy"]
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_request_is_answered_with_a_problem(store: DaemonPlace, name: str) -> None:
    sent, status = BAD[name]
    with store.connect() as sock:
        sock.sendall(sent)
        check_problem(read_answer(sock), status)
        assert sock.recv(1) == b""  # and the connection is closed, without taking the answer back


@pytest.mark.parametrize("piece", [1, 7])
def test_a_head_in_pieces_is_a_head(store: DaemonPlace, piece: int) -> None:
    for sent, status in ((GET + b"\r\n", 200), (GET + b"nothing\r\n\r\n", 400)):
        with store.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(sent), piece):
                sock.sendall(sent[at : at + piece])
            assert read_answer(sock).status == status


def test_a_head_of_the_greatest_size_is_read(store: DaemonPlace) -> None:
    fill = HEAD_MAX - len(GET) - len(b"X: \r\n\r\n")
    with store.connect() as sock:
        sock.sendall(GET + b"X: " + b"a" * fill + b"\r\n\r\n")
        assert read_answer(sock).status == 200


@pytest.mark.parametrize("name", ["no Host", "no Host, old", "a space in the target", "many headers"])
def test_a_later_request_of_a_connection_gets_a_problem_too(store: DaemonPlace, name: str) -> None:
    sent, status = BAD[name]
    with store.connect() as sock:
        sock.sendall(GET + b"\r\n")
        assert read_answer(sock).status == 200
        sock.sendall(sent)
        check_problem(read_answer(sock), status)


def test_a_later_head_that_is_too_large_gets_a_problem_too(store: DaemonPlace) -> None:
    for head, status in ((b"GET /" + b"a" * (HEAD_MAX + 9) + b" HTTP/1.1\r\n" + HOST, 414), (GET + b"X: " + b"a" * HEAD_MAX + b"\r\n", 431)):  # fmt: skip
        assert len(head) < LIBRARYS_OWN
        with store.connect() as sock:
            sock.sendall(GET + b"\r\n")
            assert read_answer(sock).status == 200
            sock.sendall(head + b"\r\n")
            check_problem(read_answer(sock), status)


def test_refusals_are_counted(store: DaemonPlace) -> None:
    before = metric(store, 'dagz_http_answers_total{code="4xx"}')
    with store.connect() as sock:
        sock.sendall(BAD["no version"][0])
        assert read_answer(sock).status == 400
    assert metric(store, 'dagz_http_answers_total{code="4xx"}') == before + 1


def test_who_leaves_before_the_head_is_whole_leaves_nothing(store: DaemonPlace) -> None:
    for sent in (b"", b"GET /hea", GET, BAD["no colon"][0]):
        with store.connect() as sock:
            sock.sendall(sent)
    wait_for("places to be free", lambda: metric(store, "dagz_http_connections") == 1)  # this one
    assert store.ask("/healthz").status == 200
