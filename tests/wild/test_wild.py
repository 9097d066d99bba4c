"""Several hosts and faults that are drawn: what must be true whatever happens.

DZT_WILD=N: N drawn runs instead of 20.  DZT_WILD_FIRST: the first of their seeds.  DZT_WILD_FREEZE_S: the
longest that anybody sleeps.  DZT_WILD_KINDS=late,resets: these, instead of what the seed has.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import netns
import plans
import pytest
from hosts import on_a_switch
from lab import Result
from test_nodes import TESTS, check_account
from wild import HOSTS, Wild

REFUSED = netns.refused()
KILLED = -signal.SIGKILL
FIRST = int(os.environ.get("DZT_WILD_FIRST", "0"))
COUNT = int(os.environ.get("DZT_WILD", str(plans.ROUND)))
ONLY = os.environ.get("DZT_WILD_KINDS", "")
CUT_OFF = "was sealed while this node was cut off"
LATE = re.compile("has ended|the job had ended before this node could join it")
ALONE = "on this host"  # no store answered when it began
PENDING = re.compile(r"pending in \S+.*; zb push (\S+)")


def plan_of(seed: int) -> list[plans.Kind]:
    if not ONLY:
        return plans.plan_of(seed)
    named = {kind.name: kind for kind in plans.KINDS}
    return sorted((named[name] for name in ONLY.split(",")), key=lambda kind: kind.when)


def opening(wild: Wild, plan: list[plans.Kind]) -> int:
    """Before which fault tests may run to their end: mostly the last, or else they would be over by then."""
    last = max((at for at, kind in enumerate(plan) if kind.when == plans.MIDDLE), default=0)
    return wild.draw.choice([last, last, last, last + 1, wild.draw.randint(0, last)])


def go(wild: Wild, seed: int, note: Callable[[str, object], None]) -> None:
    plan = plan_of(seed)
    print({"seed": seed, "plan": [kind.name for kind in plan]})
    wild.prepare(seed, any(kind.is_wired for kind in plan))
    opens_at, moment = opening(wild, plan), wild.draw.randrange(TESTS * 2 // 3)
    for kind in plan:
        if kind.first:
            kind.first(wild)
        if kind.when == plans.FIRST:
            note(kind.name, kind.do(wild))
    wild.begin()
    for at, kind in enumerate(plan):
        if not wild.is_open and (at >= opens_at or kind.when == plans.LAST):
            wild.go()
            if kind.when == plans.MIDDLE:
                wild.wait_until("tests", lambda: wild.begun() >= moment or wild.has_ended())
        if kind.when != plans.FIRST:
            note(kind.name, kind.do(wild))


# ---------------------------------------------------------------- what must be true


def check_codes(wild: Wild, results: list[Result]) -> None:
    for number, result in enumerate(results):
        allowed = {0} | ({KILLED} if number in wild.killed else set())
        allowed |= {128 + signal.SIGTERM} if number in wild.told else set()
        if number in wild.told and f"counted {TESTS}," in result.out:
            allowed.add(-signal.SIGTERM)  # it was about to go: all had been said
        assert result.code in allowed, (number, result.code)


def push(wild: Wild, results: list[Result]) -> None:
    """What still waits in folders."""
    for result in results:
        for found in PENDING.finditer(result.out):
            done = wild.zb("push", found[1])
            assert done.returncode == 0, done.stderr


def push_of_the_dead(wild: Wild) -> None:
    """Their disks are found again."""
    for number in sorted(wild.killed):
        for owner in (wild.folder(number + 1) / "home/spool").glob("*/owner"):
            done = wild.zb("push", str(owner.parent))
            assert done.returncode == 0, done.stderr


def check_accounts(wild: Wild, results: list[Result]) -> None:
    """Who was there at the end tells the same, and the store has the same account when the disks of the dead
    are found, and before.  Then it may lack results of a scheduler that was killed while it sealed, of which the
    only copy was on another host that was killed."""
    whole = [
        result
        for number, result in enumerate(results)
        if result.code == 0 and number not in wild.told and CUT_OFF not in result.out
        and not LATE.search(result.out)
    ]  # fmt: skip
    together = [result for result in whole if ALONE not in result.out]
    told = [check_account(together)] if together else []
    told += [check_account([result]) for result in whole if ALONE in result.out]
    assert told or wild.killed
    for is_found in (False, True):
        has_all = is_found or not (wild.is_seal_cut and len(wild.killed) > 1)
        jobs = {job["id"]: job for job in wild.jobs()}
        for job in [jobs[one["job"]] for one in told] or jobs.values():
            is_over = job["state"] == "sealed" or (wild.is_seal_cut and not has_all)
            assert is_over and job["lost"] == 0, job
            assert job["counted"] == TESTS or not has_all, job
        push_of_the_dead(wild)


def check_shares(wild: Wild, results: list[Result]) -> None:
    """Together they ran each test once, and the store finds that out."""
    ran = [wild.ran_on(run) for run in wild.runs]
    assert len(set().union(*ran)) == sum(len(some) for some in ran) == TESTS
    assert all("completeness not verified" in result.out for result in results)
    for job in wild.jobs():
        assert job["lost"] == 0, job


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Wild]:
    if REFUSED:
        pytest.skip(REFUSED)
    with on_a_switch(Wild, tmp_path, HOSTS) as wild:
        yield wild
        if wild.wire:
            wild.wire.close()
    if COUNT > 100:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_each_test_is_counted_once_whatever_happens(
    wild: Wild, seed: int, record_property: Callable[[str, object], None]
) -> None:
    go(wild, seed, record_property)
    results = wild.finish()
    check_codes(wild, results)
    wild.end()
    push(wild, results)
    (check_shares if wild.is_sharing else check_accounts)(wild, results)
