"""Who may ask a daemon, and what a crowd may cost it while a job runs."""

from __future__ import annotations

import http.client
import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from daemon_place import Answer, DaemonPlace, daemon
from hosts import Hosts
from people import Crowd, connections, memory, wait_for
from test_nodes import check_account

CROWD = 3000
TOKEN = "0123456789abcdef0123456789abcdef"
READER = "fedcba9876543210fedcba9876543210"
MINE, THEIRS = "git@example.org:acme/mine", "git@example.org:acme/theirs"
PROBES = 200
JOB = "01J0000000000000000000000A"
P99_MS = 50.0
GROWTH = 128 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    tokens = f"{TOKEN} {MINE}\n{READER} {MINE} read-only\n"
    small = (
        os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    )  # what is freed does not count as held
    with daemon(tmp_path / "store", "port: 0\ntokens: tokens\n", tokens, ASAN_OPTIONS=small) as place:
        yield place


def p99_ms(store: DaemonPlace) -> float:
    """What somebody who asks for the jobs has to wait, each time over a new connection."""
    waits = []
    for _ in range(PROBES):
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(*store.address(), timeout=20)
        connection.request("GET", "/api/v1/jobs?limit=1")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        connection.close()
        waits.append((time.perf_counter() - begin) * 1000)
    return sorted(waits)[int(PROBES * 0.99)]


def test_a_crowd_that_says_nothing_or_dribbles_costs_a_job_little(tmp_path: Path, store: DaemonPlace) -> None:
    calm = p99_ms(store)
    before = memory(store.pid())
    crowd = Crowd("http", store.address()[1], CROWD)
    hosts = Hosts(tmp_path, store.url())
    hosts.start(2)
    hosts.go()
    crowded = p99_ms(store)
    results = hosts.finish()
    grown = memory(store.pid()) - before
    told = crowd.end()
    print({"calm_ms": calm, "crowded_ms": crowded, "grown_mib": grown >> 20, **told})
    assert [result.code for result in results] == [0, 0]
    hosts.check_store(check_account(results))
    assert told["opened"] >= CROWD
    assert crowded < max(P99_MS, 4 * calm)
    assert grown < GROWTH
    wait_for("places to be free", lambda: connections(store.address()[1]) == 0)


def enter(store: DaemonPlace, project: str, token: str, node: str = "1") -> int:
    """The answer to somebody who comes to a meeting of that project."""
    body = {"project": project, "node": node, "ci_job": "1", "contact": "00", "job": JOB}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return store.ask("/api/v1/meetings/key/enter", "POST", json.dumps(body).encode(), **headers).status


def members(store: DaemonPlace, project: str, token: str) -> tuple[int, int]:
    """The answer, and how many are in the meeting."""
    target = f"/api/v1/meetings/key/members?project={quote(project)}"
    answer = store.ask(target, Authorization=f"Bearer {token}")
    return answer.status, len(answer.json().get("members", []))


def test_a_token_of_another_project_comes_to_no_meeting(store: DaemonPlace) -> None:
    assert enter(store, MINE, TOKEN) == 200
    assert enter(store, THEIRS, TOKEN) == 404
    assert members(store, THEIRS, TOKEN) == (404, 0)
    assert members(store, MINE, TOKEN) == (200, 1)


def test_a_wrong_token_comes_to_no_meeting(store: DaemonPlace) -> None:
    wrong = TOKEN[:-1] + "0"
    assert enter(store, MINE, wrong) == 401
    assert members(store, MINE, wrong) == (401, 0)


def test_a_request_that_is_played_again_adds_nobody(store: DaemonPlace) -> None:
    assert [enter(store, MINE, TOKEN) for _ in range(3)] == [200] * 3
    assert members(store, MINE, TOKEN) == (200, 1)


def letters(store: DaemonPlace, node: int, token: str, project: str = MINE, **args: str) -> Answer:
    """The answer to a node that fetches its letters or, with `batch`, sends one to node 1."""
    query = "&".join(f"{name}={value}" for name, value in args.items())
    target = f"/api/v1/meetings/key/letters?project={quote(project)}&node={node}&{query}"
    headers = {"Content-Type": "application/x-dagz-letters", "Authorization": f"Bearer {token}"}
    if "batch" not in args:
        return store.ask(target, **headers)
    return store.ask(target, "POST", struct.pack("<QI", 1, 1) + b"x", **headers)


def test_letters_are_for_members_of_the_meeting_and_its_project(store: DaemonPlace) -> None:
    assert enter(store, MINE, TOKEN) == 200
    for args in ({}, {"life": "7", "batch": "1"}):
        assert letters(store, 2, TOKEN, **args).status == 404
        assert letters(store, 1, TOKEN, THEIRS, **args).status == 404
        assert letters(store, 1, TOKEN[:-1] + "0", **args).status == 401
        assert letters(store, 1, TOKEN, **args).status == 200
    (kept,) = struct.unpack_from("<Q", letters(store, 1, TOKEN).body, 8)
    assert kept == 1  # the member's


def test_letters_that_are_sent_again_and_an_answer_that_was_lost_change_nothing(store: DaemonPlace) -> None:
    assert [enter(store, MINE, TOKEN, node) for node in "12"] == [200, 200]
    for again in (False, True, True):
        assert letters(store, 2, TOKEN, life="7", batch="1").json()["again"] is again
    first, second = (letters(store, 1, TOKEN).body for _ in range(2))
    assert first == second and first[16:] == struct.pack("<QI", 2, 1) + b"x"
    box, number = struct.unpack_from("<QQ", first)
    assert letters(store, 1, TOKEN, box=f"{box:x}", after=str(number)).body[16:] == b""


def test_a_token_that_may_only_read_takes_no_letters(store: DaemonPlace) -> None:
    assert enter(store, MINE, TOKEN) == 200
    assert letters(store, 1, READER).status == 403
    assert letters(store, 1, READER, life="7", batch="1").status == 403
