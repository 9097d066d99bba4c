"""Make the first corpus: one input of each kind, so that a fuzzer need not guess the format.

seeds.py ROOT        writes tests/fuzz/corpus/<target>/seed-*, leaves other files alone
"""

from __future__ import annotations

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


def main() -> None:
    core_seeds()
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
