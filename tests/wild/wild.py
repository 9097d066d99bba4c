"""Four hosts and a store on a switch, and what can befall them.

A fault is a method of `Wild` that says whether it happened: who was to be killed may have ended before.  Their
numbers are drawn from the run's seed, but whom they hit depends on who lives.  `plans.py` chooses among them.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import leftovers
import netns
from hosts import Far
from test_nodes import WAIT_S, kill_node
from wire import Wire

HOSTS = 4
FREEZE_S = float(os.environ.get("DZT_WILD_FREEZE_S", "3"))
CUT_S = 2.5
AIM_S = 0.002  # how often logs are looked at
STATE = '"event":"vassal.send","msg":"mesh_state"'
SENT = '"event":"coord.send"'
DRAIN = f'{SENT},"msg":"mesh_drain"'
SEAL = f'{SENT},"msg":"mesh_seal"'
CI = {"GITLAB_CI": "true", "CI_JOB_NAME": "t", "CI_NODE_TOTAL": str(HOSTS)}

Pair = tuple[netns.Host, netns.Host]


class Tail:
    """What is new in an agent's log each time that it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0

    def lines(self) -> list[str]:
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self.at)
            text, _, _ = file.read().rpartition(b"\n")
        self.at += len(text) + 1 if text else 0
        return text.decode(errors="replace").splitlines()


class Wild(Far):
    """One host, the immune one, is never harmed for good."""

    draw: random.Random
    wire: Wire | None = None

    def prepare(self, seed: int, is_wired: bool) -> None:
        self.draw = random.Random(seed)
        self.killed: set[int] = set()
        self.told: set[int] = set()  # to leave
        self.is_sharing = False  # no store from the beginning to the end: each runs its share
        self.is_seal_cut = False  # who sealed the job may not have told the store
        self.to_join = 0  # by a fault
        self.immune = HOSTS - 1
        self.to_mend: list[Callable[[], None]] = []
        if is_wired:
            cert = Path(self.env["SSL_CERT_FILE"])
            self.wire = Wire(self.net, self.spaces, self.store_host, cert, cert.with_name("key.pem"))

    def begin(self) -> None:
        if self.is_sharing:
            for number in range(1, HOSTS + 1):
                self.join(
                    CI_JOB_ID=str(number), CI_NODE_INDEX=str(number), DAGZ_FLUSH_TIMEOUT="0", **self.ci()
                )
        elif not self.is_store_up():
            for _ in range(HOSTS):
                self.join()
        else:
            self.start(HOSTS - 1)
            for _ in range(1 - self.to_join):
                self.join()
        for run in self.runs[: HOSTS - 1]:
            self.wait_for(run, 1)

    def end(self) -> None:
        for mend in self.to_mend:
            mend()

    def ci(self) -> dict[str, str]:
        return {**CI, "CI_PIPELINE_ID": self.key[:8]}

    # ---- who is who

    def is_running(self, number: int) -> bool:
        return self.runs[number].process.poll() is None

    def alive(self) -> list[int]:
        harmed = self.killed | self.told
        return [n for n in range(len(self.runs)) if n not in harmed and self.is_running(n)]

    def tail(self, number: int) -> Tail:
        return Tail(self.folder(number + 1) / "agent.log")

    def scheduler(self) -> int | None:
        """The one that was the last to say something as such."""
        last = {n: self.last_word(n) for n in self.alive()}
        said = {n: at for n, at in last.items() if at}
        return max(said, key=lambda n: said[n]) if said else None

    def last_word(self, number: int) -> int:
        said = [line for line in self.tail(number).lines() if SENT in line]
        return int(re.search(r'"t":(\d+)', said[-1])[1]) if said else 0  # type: ignore[index]

    def vassal(self, is_to_die: bool = True) -> int | None:
        leader = self.scheduler()
        return self.one_of([n for n in self.alive() if n != leader and not (is_to_die and n == self.immune)])

    def one_of(self, numbers: list[int]) -> int | None:
        return self.draw.choice(numbers) if numbers else None

    def aim(self, words: str, tails: dict[int, Tail] | None = None) -> int | None:
        """Wait until an agent logs a line with these words; the number of its run.  None: all ended before, or
        it has been logged before: tests wait at the gate, and so nothing more may happen."""
        tails = tails or {n: self.tail(n) for n in self.alive()}
        limit = time.monotonic() + WAIT_S
        while any(self.is_running(n) for n in tails) and time.monotonic() < limit:
            for number, tail in tails.items():
                if any(words in line for line in tail.lines()):
                    return number
            self.pause(AIM_S)
        return None

    def from_now(self) -> dict[int, Tail]:
        tails = {n: self.tail(n) for n in self.alive()}
        for tail in tails.values():
            tail.lines()
        return tails

    # ---- nodes

    def kill(self, number: int | None) -> bool:
        if number is None or number == self.immune or number not in self.alive():
            return False
        self.has_killed(number)
        return True

    def has_killed(self, number: int) -> None:
        self.killed.add(number)
        kill_node(self.runs[number])
        self.is_seal_cut = self.is_seal_cut or any(SEAL in line for line in self.tail(number).lines())

    def scheduler_killed(self) -> bool:
        return self.kill(self.scheduler())

    def vassal_killed(self) -> bool:
        return self.kill(self.vassal())

    def successor(self) -> int | None:
        """Kill the scheduler; who is the first to speak as the next one."""
        tails = self.from_now()
        leader = self.scheduler()
        if not self.kill(leader):
            return None
        return self.aim(SENT, {n: tail for n, tail in tails.items() if n != leader})

    def two_schedulers_killed(self) -> bool:
        return self.kill(self.successor())

    def two_vassals_killed(self) -> bool:
        did = self.vassal_killed()
        self.pause(self.draw.uniform(0, 0.8))
        return self.vassal_killed() and did

    def scheduler_killed_at_state(self) -> bool:
        """The second one, which is being told."""
        tails = self.from_now()
        leader = self.scheduler()
        if not self.kill(leader):
            return False
        del tails[leader]  # type: ignore[arg-type]
        self.aim(STATE, tails)
        return self.kill(self.scheduler())

    def vassal_killed_at_state(self) -> bool:
        tails = self.from_now()
        leader = self.scheduler()
        if not self.kill(leader):
            return False
        del tails[leader]  # type: ignore[arg-type]
        tails.pop(self.immune, None)
        return self.kill(self.aim(STATE, tails))

    def kill_at(self, words: str, number: int | None) -> bool:
        """As soon as an agent logs these words; there is no time then to look for the victim's processes."""
        if number is None or number == self.immune:
            return False
        run = self.runs[number]
        known = leftovers.having(run.env[leftovers.TOKEN])
        if self.aim(words) is None or not self.is_running(number):
            return False
        for process in known:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self.has_killed(number)
        return True

    def scheduler_killed_at_drain(self) -> bool:
        return self.kill_at(DRAIN, self.scheduler())

    def vassal_killed_at_drain(self) -> bool:
        return self.kill_at(DRAIN, self.vassal())

    def scheduler_killed_at_seal(self) -> bool:
        return self.kill_at(SEAL, self.scheduler())

    def vassal_killed_at_seal(self) -> bool:
        return self.kill_at(SEAL, self.vassal())

    def freeze_one(self, number: int | None, seconds: float) -> bool:
        if number is None:
            return False
        try:
            self.freeze(self.runs[number], seconds)
        except (ValueError, ProcessLookupError):  # it has ended, or its controller lost patience
            return seconds > CUT_S
        return True

    def scheduler_frozen(self) -> bool:
        return self.freeze_one(self.scheduler(), self.draw.uniform(0.2, FREEZE_S))

    def vassal_frozen(self) -> bool:
        return self.freeze_one(self.vassal(is_to_die=False), self.draw.uniform(0.2, FREEZE_S))

    def leave(self, number: int | None) -> bool:
        if number is None or number == self.immune:
            return False
        self.told.add(number)
        self.runs[number].interrupt(signal.SIGTERM)
        return True

    def scheduler_told_to_leave(self) -> bool:
        return self.leave(self.scheduler())

    def vassal_told_to_leave(self) -> bool:
        return self.leave(self.vassal())

    # ---- nodes that come late

    def one_less(self) -> bool:
        self.to_join, self.immune = 1, HOSTS - 2
        return True

    def late(self) -> bool:
        self.join()
        return True

    def late_after_drain(self) -> bool:
        """A vassal that sleeps then holds the end open for a while."""
        did = self.aim(DRAIN) is not None
        self.join()
        return self.freeze_one(self.vassal(is_to_die=False), 1.0) and did

    def late_after_seal(self) -> bool:
        did = self.aim(SEAL) is not None
        self.join()
        return did

    # ---- cables

    def a_while(self, longest: float = CUT_S) -> None:
        self.pause(self.draw.uniform(0.2, longest))

    def a_host(self) -> netns.Host:
        """Every other time the scheduler's."""
        number = self.scheduler() if self.draw.random() < 0.5 else self.one_of(self.alive())
        return self.spaces[number or 0]

    def unplugged(self) -> bool:
        space = self.a_host()
        self.net.unplug(space)
        self.a_while()
        self.net.unplug(space, is_on=False)
        return True

    def cable_flaps(self) -> bool:
        self.flap(self.a_host())
        return True

    def flap(self, host: netns.Host) -> None:
        for _ in range(3):
            self.net.unplug(host)
            self.pause(self.draw.uniform(0.1, 0.5))
            self.net.unplug(host, is_on=False)
            self.pause(self.draw.uniform(0.1, 0.3))

    def a_pair(self) -> Pair:
        sender, receiver = self.draw.sample([*self.spaces, self.store_host], 2)
        return sender, receiver

    def one_way_cable(self) -> bool:
        sender, receiver = self.a_pair()
        self.net.cut(sender, receiver)
        self.a_while()
        self.net.mend(sender, receiver)
        return True

    def cables_parted(self) -> bool:
        one, other = self.draw.sample(self.spaces, 2)
        self.net.part(one, other)
        self.a_while()
        self.net.join(one, other)
        return True

    def direct_is_blocked(self) -> bool:
        """From the beginning to the end: what they say goes through the store."""
        self.net.isolate(*self.spaces)
        return True

    def direct_is_blocked_for_a_while(self) -> bool:
        some = self.draw.sample(self.spaces, self.draw.randint(2, HOSTS))
        self.net.isolate(*some)
        self.a_while(3 * CUT_S)
        self.net.isolate(*some, is_on=False)
        return True

    # ---- connections

    @contextmanager
    def sky(self, pairs: Iterable[Pair], **sky: Any) -> Iterator[None]:
        assert self.wire
        pairs = list(pairs)
        self.wire.set(pairs, **sky)
        yield
        self.wire.set(pairs, **dict.fromkeys(sky, 0))

    def everybody(self) -> list[Pair]:
        all_of_them = [*self.spaces, self.store_host]
        return [(a, b) for a in all_of_them for b in all_of_them if a is not b]

    def some_pairs(self) -> list[Pair]:
        """All that one host says and hears, or everybody."""
        if self.draw.random() < 0.3:
            return self.everybody()
        host = self.a_host()
        return [pair for pair in self.everybody() if host in pair]

    def far_away(self) -> bool:
        """To the end of the run, every other time."""
        assert self.wire
        for pair in self.some_pairs():
            self.wire.set([pair], delay_s=self.draw.uniform(0.01, 0.3))
        return True

    def segments_of_a_byte(self) -> bool:
        with self.sky(self.some_pairs(), is_bytes=True):
            self.a_while()
        return True

    def resets(self) -> bool:
        with self.sky(self.some_pairs(), reset_after=self.draw.randint(200, 20_000)):
            self.a_while()
        return True

    def one_way_connection(self) -> bool:
        with self.sky([self.a_pair()], is_cut=True):
            self.a_while()
        return True

    def connections_parted(self) -> bool:
        """Two halves that do not hear each other; the store is in one of them."""
        half = self.draw.sample(self.spaces, self.draw.randint(1, HOSTS - 1))
        with self.sky([(a, b) for a, b in self.everybody() if (a in half) != (b in half)], is_cut=True):
            self.a_while()
        return True

    def connections_flap(self) -> bool:
        pairs = self.some_pairs()
        for _ in range(4):
            with self.sky(pairs, is_cut=True):
                self.pause(self.draw.uniform(0.1, 0.6))
            self.pause(self.draw.uniform(0.05, 0.3))
        return True

    # ---- the store

    def is_store_up(self) -> bool:
        return (self.store.home / "local.env/daemon.pid").exists() and Path(
            f"/proc/{self.store.pid()}"
        ).exists()

    def store_dies(self) -> bool:
        os.kill(self.store.pid(), signal.SIGKILL)
        leftovers.ended(self.store.pid(), 5)
        return True

    def store_is_away(self) -> bool:
        self.store_dies()
        self.pause(self.draw.uniform(0, 1.5))
        self.store_up()
        return True

    def store_is_away_at_first(self) -> bool:
        self.store_up()
        return True

    def store_is_away_throughout(self) -> bool:
        self.is_sharing = True
        return self.store_dies_for_good()

    def store_dies_for_good(self) -> bool:
        self.to_mend.append(self.store_up)
        return self.store_dies()

    def store_flaps(self) -> bool:
        self.flap(self.store_host)
        return True

    def store_frozen(self) -> bool:
        os.kill(self.store.pid(), signal.SIGSTOP)
        self.pause(self.draw.uniform(0.2, FREEZE_S))
        os.kill(self.store.pid(), signal.SIGCONT)
        return True

    def to_store(self) -> list[Pair]:
        return [(space, self.store_host) for space in self.spaces]

    def from_store(self) -> list[Pair]:
        return [(self.store_host, space) for space in self.spaces]

    def store_is_silent(self) -> bool:
        """It takes connections, and says nothing."""
        with self.sky(self.to_store(), is_cut=True):
            self.a_while(FREEZE_S)
        return True

    def store_answers_late(self) -> bool:
        with self.sky(self.from_store(), delay_s=self.draw.uniform(0.3, 3)):
            self.a_while(FREEZE_S)
        return True

    def store_is_busy(self) -> bool:
        with self.sky(self.to_store(), is_refusing=True):
            self.a_while(FREEZE_S)
        return True

    def store_restored(self) -> bool:
        """From a copy that was made a moment ago."""
        data, copy = self.store.home / "local.env/store", self.store.home / "copy"
        os.kill(self.store.pid(), signal.SIGSTOP)
        shutil.copytree(data, copy)
        os.kill(self.store.pid(), signal.SIGCONT)
        begun = self.begun()
        self.pause(self.draw.uniform(0.2, 1))
        os.kill(self.store.pid(), signal.SIGSTOP)
        if not self.keeps_spools():
            os.kill(self.store.pid(), signal.SIGCONT)
            shutil.rmtree(copy)
            return False
        self.store_dies()
        shutil.rmtree(data)
        copy.rename(data)
        self.store_up()
        return begun > 0

    # ----

    def begun(self) -> int:
        return sum(len(self.ran_on(run)) for run in self.runs)

    def keeps_spools(self) -> bool:
        """Nobody has ended: what a store forgets that was restored then is on nobody's disk any more."""
        spools = [self.folder(number + 1) / "home/spool" for number in range(len(self.runs))]
        return all(any(spool.glob("*/owner")) for spool in spools)

    def has_ended(self) -> bool:
        return any(run.process.poll() is not None for run in self.runs)
