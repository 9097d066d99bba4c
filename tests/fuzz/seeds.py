"""Make the first corpus: one input of each kind, so that a fuzzer need not guess the format.

seeds.py ROOT        writes tests/fuzz/corpus/<target>/seed-*, leaves other files alone
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
CORPUS = ROOT / "tests/fuzz/corpus"
CONF = {
    "all": "project:\n  uri: https://example.org/x.git\n  on: yes\nslots: 12\nmemory: 1.5 GiB\n"
    "plan:\n  ratio: 0.25\n  names: [a, 'b c', \"d\\n\"]\n  limits: {x: 1, y: 100}\n",
    "block": "plan:\n  names:\n  - one\n  - two\n  limits:\n    a: 1\n",
    "anchor": "a: &x [1, 2]\nb: *x\n<<: {c: 1}\n",
    "tag": "slots: !!str 5\n--- {}\n...\n",
    "tab": "project:\n\turi: x\n",
    "wide": "slots: 99999999999999999999\nmemory: -1\nplan: {ratio: 1e999}\n",
    "wrong": "project: [1]\nproject: 2\n",
}


def frame_bytes(path: Path) -> bytes:
    return bytes.fromhex(" ".join(line for line in path.read_text().splitlines() if line[0] != "#"))


def put(target: str, name: str, data: bytes) -> None:
    path = CORPUS / target / f"seed-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def body(value: int | list) -> bytes:
    """A message between nodes, of small numbers and lists, as msgpack."""
    if isinstance(value, int):
        return bytes([value])
    return bytes([0x90 | len(value)]) + b"".join(map(body, value))


def said(seq: int, message: bytes) -> bytes:
    """Time passes a little, and the peer says it in session 1 of epoch 1 (see dress())."""
    return bytes([1, 6, 1 | 1 << 2 | seq << 4, len(message)]) + message


def core_seeds() -> None:
    joined = b"\x01\x00" + b"\x01\x03" + b"\x01\x01"  # the scheduler, PERSISTED, HELLO
    state = body([4, [[0, 0], [1, 1], [2, 0]], [], 0, 1])
    outcome = [2, 0, 9, 1, 0, 1, 1, 1, 1, 5, 1, 1]
    crash = [3, 0, 8, 4, 1, 1, 1, 1, 1, 5, 1, 2]
    results = said(2, body([6, [outcome, crash]])) + b"\x01\x02"
    back = said(3, body([10, 0, 0, [[0, 0], [1, 0]]]))
    put("core", "scheduler", joined + said(1, state) + results + back + said(4, body([13, 0, 0xA0])))
    served = b"\x00" + said(0, body([3, 9, 9])) + said(1, body([5, 0, 1, [[0, 0], [1, 0], [2, 0]]]))
    up = b"\x01\x04\x00"
    revoked = said(2, body([9, 0, 2])) + b"\x01\x04\x03"
    ended = said(3, body([7, [[1, 0]]])) + said(4, body([14, 0])) + b"\x01\x04\x02"
    put("core", "vassal", served + up + revoked + ended + said(5, body([16, 1, 1, 0, 0, 0, 1, 1, 1, 1])))


def section(kind: str, data: bytes) -> bytes:
    return kind.encode() + struct.pack("<I", len(data)) + data


def records(kind: str, first: int, *packed: bytes) -> bytes:
    return section(kind, struct.pack("<QI", first, len(packed)) + b"".join(packed))


def parcel_seeds() -> None:
    """What a parcel unpacks to: see store/parcel.h."""
    texts = ("uri", "timezone", "profile", "commit", "command", "versions", "rootdir", "host", "boot")
    head = {**dict.fromkeys(texts, "x"), "origin": 7, "start_us": 1795262400000000, "is_live": 1}
    begun = section("h", json.dumps(head).encode())
    ids = [b"t.py::a", b"t.py::b"]
    lens = struct.pack(f"<I{len(ids)}I", len(ids), *map(len, ids))
    listed = section("m", b"0123456789abcdef-2") + section("M", lens + b"".join(ids))
    result = struct.pack("<IHBBBBBBQQQqqqq", 0, 1, 0, 2, 0, 0, 0, 0, 1, 1, 1, 5, 1, 2, 3)
    text = struct.pack("<IBQI", 0, 0, 99, 5) + b"E 1=2"
    log = struct.pack("<QqqIIHBBI", 1, 5, 6, 0, 0xFFFFFF, 0, 0, 0, 3) + b"abc"
    span = struct.pack("<QQQqqIHBBHH", 1, 1, 0, 5, 6, 0xFFFFFF, 0, 0, 1, 1, 2) + b"fdb"
    said = records("r", 0, result) + records("t", 0, text) + records("l", 0, log, log)
    sealed = section("z", json.dumps({"counted": 1, "digest": 5, "exit_code": 0}).encode())
    put("parcel", "begin", b"u" + begun)
    put("parcel", "all", b"u" + begun + listed + said + records("s", 0, span) + sealed)
    put("parcel", "gap", b"u" + begun + records("l", 5, log))
    put("parcel", "packed", b"pDZPL" + struct.pack("<III", 1, 0, 0) + b"\x28\xb5\x2f\xfd\x20\0\1\0\0")
    stored = {"results": 1, "texts": 0, "logs": 2, "spans": 0}
    receipt = {
        "schema": "dagz.receipt/1",
        "short": "j1",
        "stored": stored,
        "wants_list": False,
        "sealed": True,
    }
    put("parcel", "receipt", b"r" + json.dumps(receipt).encode())
    put("parcel", "durations", b"dDZDU" + struct.pack("<II", 1, 0) + b"\x28\xb5\x2f\xfd\x20\0\1\0\0")


def request(target: str, *headers: str, method: str = "GET", body: str = "", piece: int = 0) -> bytes:
    """What a client sends; byte 0 says in which pieces."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", body]
    return bytes([piece]) + "\r\n".join(lines).encode()


def http_seeds() -> None:
    job = "/api/v1/jobs/latest"
    for name, target in {
        "page": "/",
        "health": "/healthz",
        "metrics": "/metrics",
        "openapi": "/api/v1/openapi.json",
        "schema": "/api/v1/schemas/zb.near.1.json",
        "projects": "/api/v1/projects",
        "jobs": "/api/v1/jobs?limit=1&project=u",
        "before": "/api/v1/jobs?before=01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "job": f"{job}?project=u&failures=1",
        "short": "/api/v1/jobs/j1121.1?project=git%40x%3Aa.git%2F%2Fb+c",
        "tests": f"{job}/tests?project=u&q=outcome:failed&q=not:x&sort=duration&limit=2",
        "texts": f"{job}/tests?project=u&text=1&offset=1",
        "test": f"{job}/tests/a.py%3A%3Atest_a?project=u",
        "number": f"{job}/tests/@2?project=u",
        "near": f"{job}/near?name=test_&project=u",
        "logs": f"{job}/logs?project=u&worker=jw0&test=a.py&since=1&limit=1",
    }.items():
        put("http", name, request(target))
    put("http", "events", request("/api/v1/events?topics=job,log&after=0", "Last-Event-ID: 2.1"))
    put("http", "token", request("/api/v1/jobs", "Authorization: Bearer 0123456789abcdef"))
    put("http", "origin", request("/healthz", "Origin: http://localhost"))
    put(
        "http",
        "several",
        request("/healthz") + request("/nothing")[1:] + request("/healthz", "Connection: close")[1:],
    )
    put("http", "post", request("/healthz", "Content-Length: 4", method="POST", body="abcd"))
    chunked = "4\r\nabcd\r\n1;x=y\r\n{\r\n0\r\n\r\n"
    put(
        "http",
        "chunked",
        request("/api/v1/meetings/k/enter", "Transfer-Encoding: chunked", method="POST", body=chunked),
    )
    put("http", "meeting", request("/api/v1/meetings/k/end", "Content-Length: 2", method="POST", body="{}"))
    letters = "/api/v1/meetings/k/letters?project=u&node="
    letter = struct.pack("<QI", 2, 3).decode() + "abc"
    typed = ("Content-Type: application/x-dagz-letters", f"Content-Length: {len(letter)}")
    send = request(letters + "1&life=7&batch=1", *typed, method="POST", body=letter)
    fetch = request(letters + "2&box=5&after=1&wait_ms=40")
    put("http", "letters", send)
    put("http", "fetch", fetch)
    put("http", "letters-fetched", send + fetch[1:] + send[1:])
    put("http", "letters-of-nobody", request(letters + "9&wait_ms=40"))
    put("http", "pieces", request("/api/v1/jobs?limit=1", piece=3))
    put("http", "old", b"\0GET / HTTP/1.0\r\n\r\n")
    put("http", "head", request("/", method="HEAD"))


def duct_seeds() -> None:
    """Letters between nodes, of each kind and of the length that it has, and what they are changed by."""
    lengths = {1: 73, 2: 105, 3: 38, 4: 41, 5: 49}
    letters = {
        kind: struct.pack("<QI", 9 * kind, n) + bytes([kind]) + bytes(n - 1) for kind, n in lengths.items()
    }
    for kind, letter in letters.items():
        put("duct", f"kind-{kind}", letter)
    put("duct", "all", b"".join(letters.values()) * 2)


def meeting_seeds() -> None:
    roll = '"came":2,"ended":1}'
    job, before = "01JD8Y7W9QK3T5V2X4Z6B8D0FG", "01JD8Y7W9QK3T5V2X4Z6B8D0FH"
    for word in ("joins", "returns", "late", "opens", "again"):
        named = f'"word":"{word}","generation":1,"job":"{job}","previous":"{before}","full":true,'
        put("meeting", f"enter-{word}", f"0{{{named}{roll}".encode())
    epoch = '"epoch":["0000000000000003","00000000000000a1","1"]'
    for word in ("granted", "held", "free", "sealed"):
        lease = f'"word":"{word}",{epoch},"ttl_us":1500000,"members":4,"contact":"00ff",'
        put("meeting", f"lease-{word}", f"1{{{lease}{roll}".encode())
    member = '{"node":"00000000000000a1","contact":"0102"}'
    put("meeting", "members", f'2{{"members":[{member},{member}],"next":0}}'.encode())
    put(
        "meeting", "contact", ('2{"members":[{"node":"1","contact":"' + "ab" * 600 + '"}],"next":1}').encode()
    )
    record = f"job {job}\ngeneration 1 1 0\nprevious {before} 1\nlease 3 a1 1 5f 4 0 2 a2 a3\n"
    put("meeting", "record", f"3{record}member a1 1 77 1\nmember a2 ffffffff 78 0\n".encode())


def main() -> None:
    core_seeds()
    meeting_seeds()
    duct_seeds()
    http_seeds()
    parcel_seeds()
    for path in sorted((ROOT / "tests/golden/frames").glob("*.hex")):
        data = frame_bytes(path)
        if len(data) < 600:
            put("wire", path.stem, data)
    stop = frame_bytes(ROOT / "tests/golden/frames/stop.hex")
    put("wire", "stream", struct.pack("<I", len(stop)) + stop + struct.pack("<I", 3) + b"\x92\x55\x01")
    put("mesh", "empty", b"\0" + frame_bytes(ROOT / "tests/golden/frames/mesh.hex"))
    for name, numbers in {
        "fresh": (0, 0, 0, 0, 0, 0),
        "busy": (5 | 9 << 32, 3000, 1000, 77, 1000, 0),
        "wrap": (2**32 - 2 | 3 << 32, 2**20 + 10, 2**20 - 10, 0, 2**20 - 10, 0),
        "mad": (9 | 5 << 32, 2**64 - 1, 7, 2**63, 99, 0),
    }.items():
        put("shm", name, struct.pack("<6Q", *numbers) + b"some bytes for the ring")
    for record in range(16):  # which record of a store; then a new value, or changes to the real one
        put("store", f"empty-{record:02}", bytes([record, 0]))
        put("store", f"same-{record:02}", bytes([record, 1]))
        put("store", f"first-{record:02}", bytes([record, 1]) + b"\0\0\xff\1\0\x7f\2\0\x10")
    for name, text in CONF.items():
        put("conf", name, text.encode())


if __name__ == "__main__":
    main()
