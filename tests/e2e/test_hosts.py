"""Several hosts, one job: what is counted, and what a death, a freeze, a cut or an absent store costs."""

from __future__ import annotations

import collections
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import netns
import pytest
from daemon_place import DaemonPlace
from fault_server import FaultServer, Handler, plain
from hosts import Far, Hosts, on_a_switch
from lab import Result
from test_nodes import SUITE, TESTS, check_account, kill_node, summary

REFUSED = netns.refused()
KILLED = -signal.SIGKILL


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    (tmp_path / "store").mkdir()
    place = DaemonPlace(tmp_path / "store")
    place.up()
    yield place
    place.zb("daemon", "down")


@pytest.fixture
def hosts(tmp_path: Path, store: DaemonPlace) -> Hosts:
    return Hosts(tmp_path, store.url())


class Three(Far):
    def ways(self, number: int) -> int:
        """How often the agent of a run has reached another one."""
        return sum("is reached at" in str(event.get("text")) for event in self.events(number))


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Three]:
    if REFUSED:
        pytest.skip(REFUSED)
    with on_a_switch(Three, tmp_path, 3) as far:
        yield far


def ran(hosts: Hosts) -> collections.Counter[str]:
    return collections.Counter(nodeid for run in hosts.runs for nodeid in hosts.ran_on(run))


def codes(results: list[Result]) -> list[int]:
    return [result.code for result in results]


# ---------------------------------------------------------------- homes of their own, one machine


def test_runs_with_homes_of_their_own_are_one_job(hosts):
    hosts.start(2)
    results = hosts.finish()
    assert codes(results) == [0, 0]
    told = check_account(results)
    assert (told["nodes"], told["workers"], told["duplicates"]) == (2, 4, 0)
    assert len(ran(hosts)) == TESTS and set(ran(hosts).values()) == {1}
    assert all(f"through {hosts.url}" in result.out for result in results)
    hosts.check_store(told)


def test_what_fails_anywhere_is_told_by_the_store(tmp_path, store):
    hosts = Hosts(tmp_path, store.url(), {**SUITE, "test_bad.py": "def test_bad(): assert 1 == 2\n"})
    hosts.start(3)
    results = hosts.finish()
    assert sum(result.counts.get("failed", 0) for result in results) == 1
    told = check_account(results, TESTS + 1)
    text = hosts.zb("tests", told["job"], "outcome:failed", "--json").stdout
    assert "assert 1 == 2" in text
    hosts.check_store(told, TESTS + 1)


def test_a_scheduler_that_dies_is_succeeded_by_one_that_reads_the_ledger(hosts):
    leader, *_ = hosts.start(3)
    kill_node(leader)
    results = hosts.finish()
    assert codes(results) == [KILLED, 0, 0]
    hosts.check_store(check_account(results[1:]))


def test_who_comes_late_is_told_so(hosts):
    hosts.start(2)
    told = check_account(hosts.finish_some())
    hosts.join()
    (late,) = hosts.finish()[2:]
    assert late.code == 0 and "has ended" in late.out
    assert late.counts == {} or set(late.counts) == {"no tests ran"}
    hosts.check_store(told)


def test_two_commands_of_one_ci_job_are_two_jobs(hosts):
    hosts.go()
    gitlab = {"GITLAB_CI": "true", "CI_PIPELINE_ID": hosts.key[:8], "CI_JOB_NAME": "t"}
    for _ in range(2):
        hosts.join(CI_JOB_ID="1", **gitlab)
        hosts.finish_some()
    results = hosts.finish()
    assert [result.counts for result in results] == [{"passed": TESTS}] * 2
    assert len(hosts.jobs()) == 2


# ---------------------------------------------------------------- the store is away


def test_slots_of_a_step_run_their_shares_when_the_store_is_down_from_the_start(hosts, store):
    store.zb("daemon", "down")
    hosts.go()
    gitlab = {"GITLAB_CI": "true", "CI_PIPELINE_ID": hosts.key[:8], "CI_JOB_NAME": "t"}
    for i in (1, 2):
        hosts.join(
            CI_JOB_ID=str(i), CI_NODE_INDEX=str(i), CI_NODE_TOTAL="2", **gitlab, DAGZ_FLUSH_TIMEOUT="0"
        )
    results = hosts.finish()
    assert codes(results) == [0, 0]
    assert len(ran(hosts)) == TESTS and set(ran(hosts).values()) == {1}
    for result in results:
        assert "runs its own share: no store answers" in result.out
        assert "completeness not verified" in result.out
        assert re.search(r"\d+ results pending in .*; zb push ", result.out)


def test_a_scheduler_dies_while_the_store_is_down_and_the_results_arrive_later(hosts, store):
    leader, *_ = hosts.start(3, DAGZ_FLUSH_TIMEOUT="1")
    os.kill(store.pid(), signal.SIGKILL)
    kill_node(leader)
    results = hosts.finish()
    assert codes(results) == [KILLED, 0, 0]
    told = check_account(results[1:])
    paths = [m[1] for result in results for m in re.finditer(r"pending in \S+.*; zb push (\S+)", result.out)]
    assert paths
    hosts.url = store.up()
    assert len(paths) == 2 and "lost the scheduler" in results[1].out
    for path in paths:
        done = hosts.zb("push", path)
        assert done.returncode == 0, done.stderr
    hosts.check_store(told)


def test_a_store_that_hangs_and_comes_back_costs_nothing(hosts, store):
    leader, *_ = hosts.start(3)
    os.kill(store.pid(), signal.SIGSTOP)
    kill_node(leader)
    hosts.go()
    hosts.wait_until(
        "a successor",
        lambda: any("succeeds" in str(event.get("why", "")) for n in (2, 3) for event in hosts.events(n)),
    )
    os.kill(store.pid(), signal.SIGCONT)
    results = hosts.finish()
    assert codes(results) == [KILLED, 0, 0]
    hosts.check_store(check_account(results[1:]))


def test_a_store_that_answers_late_again_and_again_is_waited_for(tmp_path, store):
    """Longer than an agent may be silent: this CI job had run other commands under the key."""

    def again_but_late(handler: Handler) -> None:
        handler.server.release.wait(1.4)
        plain(handler, 200, b'{"word":"again","generation":1,"job":"","came":0,"ended":0}')

    server = FaultServer(store.url(), again_but_late, times=8, verb="enter")
    hosts = Hosts(tmp_path, server.url)
    hosts.go()
    hosts.join()
    (result,) = hosts.finish()
    server.close()
    assert (result.code, server.left) == (0, 0)
    assert "the agent died" not in result.out and f"through {server.url}" in result.out
    check_account([result])


def test_a_store_that_is_asked_for_and_silent_is_one_clear_line(hosts, store):
    store.zb("daemon", "down")
    hosts.join("--dagz-rendezvous=store", DAGZ_MEET_TIMEOUT="1")
    (result,) = hosts.finish()
    assert result.code == 4
    assert f"--dagz-rendezvous=store: no store answers at {hosts.url}" in result.err + result.out


# ---------------------------------------------------------------- hosts on a network


def test_hosts_of_a_network_are_one_job(far):
    far.start(3)
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    told = check_account(results)
    assert (told["nodes"], told["duplicates"]) == (3, 0)
    lines = [str(event.get("text")) for event in far.events(2) if event["event"] == "agent.line"]
    assert any(f"is reached at tcp://{far.spaces[0].address}:" in line for line in lines), lines
    far.check_store(told)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_on_a_network(far, victim):
    runs = far.start(3)
    kill_node(runs[victim])
    results = far.finish()
    assert codes(results) == [KILLED if i == victim else 0 for i in range(3)]
    far.check_store(check_account([result for result in results if result.code == 0]))


@pytest.mark.parametrize(("victim", "seconds"), [(0, 0.3), (0, 2.5), (1, 2.5)])
def test_a_host_that_sleeps_and_wakes_up(far, victim, seconds):
    runs = far.start(3)
    far.freeze(runs[victim], seconds)
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    far.check_store(check_account(results))


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_is_cut_off_for_a_while(far, victim):
    far.start(3)
    ways = far.ways(victim + 1)
    far.net.unplug(far.spaces[victim])
    far.pause(2.5)
    far.net.unplug(far.spaces[victim], is_on=False)
    far.wait_until("it speaks again", lambda: far.ways(victim + 1) > ways)
    results = far.finish()
    assert codes(results) == [0, 0, 0]  # the others may be done before it takes part again
    there = [result for result in results if "was sealed while this node was cut off" not in result.out]
    assert len(there) >= 2
    far.check_store(check_account(there))


def test_a_host_that_is_cut_off_until_all_is_over(far):
    far.start(3)
    far.net.unplug(far.spaces[1])
    far.go()
    far.wait_until("two end", lambda: all(far.runs[n].process.poll() is not None for n in (0, 2)))
    far.net.unplug(far.spaces[1], is_on=False)
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    assert "was sealed while this node was cut off" in results[1].out
    far.check_store(check_account([results[0], results[2]]))


def test_a_host_that_is_told_to_leave(far):
    runs = far.start(3)
    runs[0].interrupt(signal.SIGTERM)
    results = far.finish()
    assert codes(results) == [128 + signal.SIGTERM, 0, 0]
    far.check_store(check_account(results[1:]))
    assert summary(results[1])["counted"] == TESTS
