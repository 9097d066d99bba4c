"""Names of tests for agent and ledger: each once, none longer than a frame takes, parts that fit one."""

from __future__ import annotations

from dagz import manifest

FRAME_MAX = 64 << 20
FIELD_MAX = 65_535


def told(nodeids):
    parts = list(manifest.parts(nodeids, [""] * len(nodeids)))
    entries = [entry for _, part in parts for entry in part]
    assert [first for first, _ in parts] == [sum(len(p) for _, p in parts[:n]) for n in range(len(parts))]
    return parts, [name for name, *_ in entries]


def test_a_long_node_id_is_cut_and_stays_its_own():
    long = ["t.py::test[" + "y" * 100_000 + f"{n}]" for n in range(3)] + ["ü" * 40_000, "\udcff" * 40_000]
    _, names = told([*long, long[0], "t.py::short"])
    assert len(set(names)) == 7 and names[-1] == "t.py::short" and names[-2] == names[0] + " #2"
    assert all(len(name.encode("utf-8", "surrogatepass")) <= FIELD_MAX for name in names)
    assert names[0].startswith("t.py::test[yyy")


def test_equal_node_ids_are_numbered():
    assert told(["a", "b", "a", "a", "b"])[1] == ["a", "b", "a #2", "a #3", "b #2"]


def test_many_long_node_ids_come_in_parts_that_fit_a_frame():
    nodeids = [f"{n:06}" + "y" * 59_000 for n in range(2000)]
    parts, names = told(nodeids)
    assert names == nodeids
    assert all(sum(len(name) for name, *_ in part) < FRAME_MAX // 2 for _, part in parts)
    assert [len(part) for _, part in told(["a"] * 10_000)[0]] == [4096, 4096, 1808]
