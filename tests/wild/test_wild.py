"""Several hosts and faults that are drawn: what must be true whatever happens.

DZT_WILD=N: N drawn runs instead of 20.  DZT_WILD_FIRST: the first of their seeds.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import netns
import pytest
from hosts import Far, on_a_switch
from lab import Result
from test_nodes import TESTS, check_account, kill_node

REFUSED = netns.refused()
KILLED = -signal.SIGKILL
FIRST = int(os.environ.get("DZT_WILD_FIRST", "1"))
COUNT = int(os.environ.get("DZT_WILD", "20"))
HOSTS = 4
FREEZE_S = 3.0
CUT_S = 2.5
CUT_OFF = "was sealed while this node was cut off"
LATE = re.compile("has ended|the job had ended before this node could join it")
ALONE = "on this host"  # no store answered when it began


class Wild(Far):
    """Four hosts and a store on a switch; the last host is never harmed for good."""

    draw: random.Random
    killed: set[int]
    told: set[int]
    plan: list[str]

    def victim(self) -> int:
        """The first schedules, until it dies: it is drawn as often as all others together."""
        alive = [n for n in range(len(self.runs)) if n not in self.killed | self.told]
        mortal = [n for n in alive if n < HOSTS - 1] or alive
        return mortal[0] if self.draw.random() < 0.5 else self.draw.choice(mortal)

    # ---- faults

    def kill(self) -> None:
        number = self.victim()
        if number >= HOSTS - 1:
            return
        self.killed.add(number)
        kill_node(self.runs[number])

    def kill_two(self) -> None:
        self.kill()
        self.pause(self.draw.uniform(0, 0.8))
        self.kill()

    def freeze_one(self) -> None:
        run = self.runs[self.victim()]
        if run.process.poll() is None:
            try:
                self.freeze(run, self.draw.uniform(0.2, FREEZE_S))
            except (ValueError, ProcessLookupError):
                return  # it has ended

    def leave(self) -> None:
        number = self.victim()
        if number >= HOSTS - 1:
            return
        self.told.add(number)
        self.runs[number].interrupt(signal.SIGTERM)

    def unplug(self) -> None:
        space = self.spaces[self.victim()]
        self.net.unplug(space)
        self.pause(self.draw.uniform(0.2, CUT_S))
        self.net.unplug(space, is_on=False)

    def one_way(self) -> None:
        sender, receiver = self.draw.sample([*self.spaces, self.store_host], 2)
        self.net.cut(sender, receiver)
        self.pause(self.draw.uniform(0.2, CUT_S))
        self.net.mend(sender, receiver)

    def part(self) -> None:
        one, other = self.draw.sample(self.spaces, 2)
        self.net.part(one, other)
        self.pause(self.draw.uniform(0.2, CUT_S))
        self.net.join(one, other)

    def store_dies(self) -> None:
        os.kill(self.store.pid(), signal.SIGKILL)
        self.pause(self.draw.uniform(0, 1.5))
        self.store_up()

    def store_flaps(self) -> None:
        for _ in range(3):
            self.net.unplug(self.store_host)
            self.pause(self.draw.uniform(0.1, 0.5))
            self.net.unplug(self.store_host, is_on=False)
            self.pause(self.draw.uniform(0.1, 0.3))

    def store_hangs(self) -> None:
        os.kill(self.store.pid(), signal.SIGSTOP)
        self.pause(self.draw.uniform(0.2, FREEZE_S))
        os.kill(self.store.pid(), signal.SIGCONT)

    def late(self) -> None:
        if len(self.runs) < HOSTS:
            self.join()

    # ----

    def begun(self) -> int:
        return sum(len(self.ran_on(run)) for run in self.runs)

    def go_wild(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.killed, self.told = set(), set()
        faults: list[Callable[[], None]] = [
            self.kill, self.kill, self.kill_two, self.freeze_one, self.freeze_one, self.leave, self.unplug,
            self.one_way, self.part, self.store_dies, self.store_flaps, self.store_hangs, self.late,
        ]  # fmt: skip
        plan = [self.draw.choice(faults) for _ in range(self.draw.randint(1, 3))]
        opens_at, moment = self.draw.randint(0, len(plan)), self.draw.randrange(TESTS)
        self.plan = [fault.__name__ for fault in plan]
        print({"seed": seed, "plan": self.plan, "opens_at": opens_at, "moment": moment})
        self.start(HOSTS - 1)
        self.join()
        for at, fault in enumerate(plan):
            if at == opens_at:
                self.go()
                self.wait_until("tests", lambda: self.begun() >= moment or self.has_ended())
            fault()

    def has_ended(self) -> bool:
        return any(run.process.poll() is not None for run in self.runs)

    def check(self, results: list[Result]) -> None:
        for number, result in enumerate(results):
            allowed = {0} | ({KILLED} if number in self.killed else set())
            allowed |= {128 + signal.SIGTERM} if number in self.told else set()
            if number in self.told and f"counted {TESTS}," in result.out:
                allowed.add(-signal.SIGTERM)  # it was about to go: all had been said
            assert result.code in allowed, (number, result.code, self.plan)
        whole = [
            result
            for number, result in enumerate(results)
            if result.code == 0 and number not in self.told and CUT_OFF not in result.out
            and not LATE.search(result.out)
        ]  # fmt: skip
        together = check_account([result for result in whole if ALONE not in result.out])
        told = [together, *(check_account([result]) for result in whole if ALONE in result.out)]
        self.push(results)
        jobs = {job["id"]: job for job in self.jobs()}
        for one in told:
            job = jobs[one["job"]]
            assert (job["state"], job["counted"], job["lost"]) == ("sealed", TESTS, 0), (job, self.plan)

    def push(self, results: list[Result]) -> None:
        """What still waits in folders."""
        for result in results:
            for found in re.finditer(r"pending in \S+.*; zb push (\S+)", result.out):
                done = self.zb("push", found[1])
                assert done.returncode == 0, done.stderr


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Wild]:
    if REFUSED:
        pytest.skip(REFUSED)
    with on_a_switch(Wild, tmp_path, HOSTS) as wild:
        yield wild
    if COUNT > 100:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_each_test_is_counted_once_whatever_happens(wild: Wild, seed: int) -> None:
    wild.go_wild(seed)
    wild.check(wild.finish())
