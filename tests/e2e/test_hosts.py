"""Several hosts, one job: what is counted, and what a death, a freeze, a cut or an absent store costs."""

from __future__ import annotations

import collections
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import netns
import pytest
from daemon_place import DaemonPlace
from fault_server import FAULTS, FaultServer, Handler, plain
from hosts import Far, Hosts, on_a_switch
from lab import Result
from test_nodes import SUITE, TESTS, check_account, kill_node, summary

REFUSED = netns.refused()
KILLED = -signal.SIGKILL


class Three(Far):
    def is_together(self) -> bool:
        """One schedules, and all the others are led by it."""
        last = [self.ranks(number)[-1] for number in range(1, len(self.runs) + 1)]
        ranks = sorted(rank for rank, _ in last)
        return ranks == ["LEADING"] + ["VASSAL"] * (len(last) - 1) and len({epoch for _, epoch in last}) == 1


@pytest.fixture
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Three]:
    """Its parameter: the version of the internet protocol."""
    if REFUSED:
        pytest.skip(REFUSED)
    with on_a_switch(Three, tmp_path, 3, getattr(request, "param", 4)) as far:
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
    assert late.counts == {"deselected": TESTS}
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


@pytest.mark.parametrize("own", ["", "1"], ids=["same tests", "others"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_one_disk_may_be_lost_of_a_job_that_ended_while_the_store_was_down(tmp_path, store, lost, own):
    """The second node has a test more, before all others: their numbers are not those of the first."""
    more = "import os\nif os.environ.get('DZT_OWN'):\n    def test_own(): assert 0\n"
    hosts = Hosts(tmp_path, store.url(), {**SUITE, "test_0.py": more})
    for env in ({}, {"DZT_OWN": own}, {}):
        hosts.wait_for(hosts.join(DAGZ_FLUSH_TIMEOUT="1", **env), 2)  # all of them have some
    os.kill(store.pid(), signal.SIGKILL)
    results = hosts.finish()
    tests = TESTS + len(own)
    told = check_account(results, tests)
    hosts.url = store.up()
    for number, result in enumerate(results):
        (path,) = (m[1] for m in re.finditer(r"pending in \S+.*; zb push (\S+)", result.out))
        if number != lost:
            assert hosts.zb("push", path).returncode == 0
    hosts.check_store(told, tests)
    lines = hosts.zb("tests", told["job"], "outcome:failed", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["test_0.py::test_own"] * len(own)


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


def takes_part_again(hosts: Hosts, number: int) -> bool:
    """The agent that took over schedules, or is led."""
    events = hosts.events(number)
    starts = [at for at, event in enumerate(events) if event["event"] == "agent.start"]
    ranks = [event for event in events[starts[-1] :] if event["event"] == "vassal.rank"]
    return len(starts) > 1 and any(r["rank"] in ("VASSAL", "LEADING") and r["epoch"] > 0 for r in ranks)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("is_ci", [False, True])
def test_an_agent_that_is_replaced_while_the_store_is_away_comes_back_into_its_job(
    hosts: Hosts, store: DaemonPlace, victim: int, is_ci: bool
) -> None:
    gitlab = {"GITLAB_CI": "true", "CI_PIPELINE_ID": hosts.key[:8], "CI_JOB_NAME": "t", "CI_NODE_TOTAL": "2"}
    for n in (1, 2):
        slot = {"CI_JOB_ID": str(n), "CI_NODE_INDEX": str(n), **gitlab} if is_ci else {}
        hosts.wait_for(hosts.join(DAGZ_FLUSH_TIMEOUT="1", **slot), 1)
    os.kill(store.pid(), signal.SIGKILL)
    os.kill(hosts.agent(hosts.runs[victim]), signal.SIGKILL)
    hosts.wait_until("it is back", lambda: "back in " in hosts.said(victim + 1))
    hosts.wait_until("it takes part", lambda: takes_part_again(hosts, victim + 1))  # before all is run
    results = hosts.finish()
    assert codes(results) == [0, 0]
    told = check_account(results)
    assert told["nodes"] == 2 and all("own share" not in result.out for result in results)
    hosts.url = store.up()
    for result in results:
        for found in re.finditer(r"pending in \S+.*; zb push (\S+)", result.out):
            assert hosts.zb("push", found[1]).returncode == 0
    hosts.check_store(told)


def test_an_agent_that_is_replaced_hears_of_its_job_when_the_store_is_back(hosts, store):
    """Nobody else lives who could tell."""
    leader, other = hosts.start(2)
    os.kill(store.pid(), signal.SIGSTOP)
    kill_node(leader)
    os.kill(hosts.agent(other), signal.SIGKILL)
    hosts.wait_until("it is back", lambda: "back in " in hosts.said(2))
    os.kill(store.pid(), signal.SIGCONT)
    results = hosts.finish()
    assert codes(results) == [KILLED, 0]
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


def test_a_store_that_has_too_much_to_do_is_asked_again(tmp_path, store):
    server = FaultServer(store.url(), FAULTS["503"], times=4, verb="enter")
    hosts = Hosts(tmp_path, server.url)
    hosts.go()
    hosts.join("--dagz-rendezvous=store")
    (result,) = hosts.finish()
    server.close()
    assert (result.code, server.left) == (0, 0), result.out
    check_account([result])


def test_a_store_that_is_asked_for_and_silent_is_one_clear_line(hosts, store):
    store.zb("daemon", "down")
    hosts.join("--dagz-rendezvous=store", DAGZ_MEET_TIMEOUT="1")
    (result,) = hosts.finish()
    assert result.code == 4
    assert f"--dagz-rendezvous=store: no store answers at {hosts.url}" in result.err + result.out


# ---------------------------------------------------------------- hosts on a network


@pytest.mark.parametrize("far", [4, 6], ids=["IPv4", "IPv6"], indirect=True)
def test_hosts_of_a_network_are_one_job(far):
    far.start(3)
    results = far.finish()
    assert codes(results) == [0, 0, 0]
    told = check_account(results)
    assert (told["nodes"], told["duplicates"]) == (3, 0)
    lines = [str(event.get("text")) for event in far.events(2) if event["event"] == "agent.line"]
    assert any(f": reached at tcp://{far.spaces[0].netloc}:" in line for line in lines), lines
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
    far.net.unplug(far.spaces[victim])
    far.pause(2.5)
    far.net.unplug(far.spaces[victim], is_on=False)
    far.wait_until("it takes part again", far.is_together)
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
