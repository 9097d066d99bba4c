"""Hosts that reach the store, but not each other: what they say goes through it, and each test is counted once."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import leftovers
import netns
import pytest
from hosts import Far, on_a_switch
from lab import Result
from test_nodes import check_account, kill_node

REFUSED = netns.refused()
KILLED = -signal.SIGKILL


class Cut(Far):
    def count(self, number: int, event: str) -> int:
        """How often the agent of a run has logged it."""
        return sum(one["event"] == event for one in self.events(number))

    def is_cut_off(self, *numbers: int) -> bool:
        """Whether each of these runs speaks through the store, and has heard so."""
        return all(
            self.count(number, "detour.begin") > self.count(number, "detour.end") for number in numbers
        )

    def isolate(self, is_on: bool = True) -> None:
        self.net.isolate(*self.spaces, is_on=is_on)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Cut]:
    if REFUSED:
        pytest.skip(REFUSED)
    with on_a_switch(Cut, tmp_path, 3) as far:
        yield far


def there(results: list[Result]) -> list[Result]:
    """Those who took part to the end: on a busy machine who has been silent may be left behind."""
    return [one for one in results if one.code == 0 and "while this node was cut off" not in one.out]


def codes(results: list[Result]) -> list[int]:
    return [result.code for result in results]


def test_hosts_that_never_reach_each_other_are_one_job(far):
    far.isolate()
    far.start(3)
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    told = check_account(results)
    assert (told["nodes"], told["duplicates"]) == (3, 0)
    for result in results[1:]:
        assert "reached through the store: no direct connection can be made" in result.out
    lines = far.zb("job", told["job"]).stdout
    assert "is reached by n0 through the store" in lines, lines
    far.check_store(told)


def test_hosts_that_are_cut_off_from_each_other_go_on_through_the_store(far):
    far.start(3)
    far.isolate()
    far.wait_until("they speak through the store", lambda: far.is_cut_off(1, 2, 3))
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    far.check_store(check_account(there(results)))


def test_once_they_reach_each_other_again_the_store_is_left(far):
    far.isolate()
    far.start(3)
    assert far.is_cut_off(2, 3)
    far.isolate(is_on=False)
    far.wait_until("they speak directly", lambda: not far.is_cut_off(2) and not far.is_cut_off(3))
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    told = check_account(results)
    assert told["duplicates"] == 0
    through_store = [each for each in results if "reached through the store" in each.out]
    assert through_store
    for each in through_store:
        assert re.search(r"which schedules, from now on: (reached at tcp://|it came to this one)", each.out)
    far.check_store(told)


def test_a_store_that_is_started_again_is_spoken_through_again(far):
    far.isolate()
    far.start(3)
    pid = far.store.pid()
    os.kill(pid, signal.SIGKILL)
    leftovers.ended(pid, 5)
    far.store_up()
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    far.check_store(check_account(there(results)))


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_behind_the_store(far, victim):
    far.isolate()
    runs = far.start(3)
    kill_node(runs[victim])
    others = [number for number in (1, 2, 3) if number != victim + 1]
    far.wait_until("the store has told", lambda: any(far.count(number, "mesh.gone") for number in others))
    results = far.finish()
    assert codes(results) == [KILLED if i == victim else 0 for i in range(3)]
    far.check_store(check_account(there(results)))
