"""Slots that come when their job has ended, or still collect then: what it lacks is run as a job of its own,
and nothing else is."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from daemon_place import DaemonPlace
from fault_server import FaultServer, Handler
from hosts import Hosts
from lab import Result
from test_hosts import codes, ran
from test_nodes import CONFTEST, WAIT_S, Party, summary

TESTS = 6
MORE = 2
SUITE = {
    "test_all.py": f"""
        import pytest
        @pytest.mark.parametrize("i", range({TESTS}))
        def test_all(i): pass
    """,
    "conftest.py": CONFTEST
    + """
    import signal, pathlib

    collect_ignore = [] if os.environ.get("DZT_MORE") else ["test_more.py"]

    def pytest_collection_modifyitems():
        if "DZT_WAITS" in os.environ:
            pathlib.Path(os.environ["DZT_WAITS"]).read_text()
        if "DZT_KILLS" in os.environ:
            os.kill(int(os.environ["DZT_KILLS"]), signal.SIGKILL)

    def pytest_terminal_summary():
        if "DZT_STAYS" in os.environ:
            pathlib.Path(os.environ["DZT_STAYS"]).read_text()
    """,
    "test_more.py": f"""
        import os, pytest, time
        @pytest.mark.parametrize("i", range({MORE}))
        def test_more(i):
            time.sleep(float(os.environ.get("DZT_TAKES", "0")))
            assert os.environ["DZT_MORE"] != "bad"
    """,
}


@pytest.fixture
def late(tmp_path: Path, store: DaemonPlace) -> Hosts:
    """Its job, of one run, has ended."""
    hosts = Hosts(tmp_path, store.url(), SUITE)
    hosts.go()
    hosts.join()
    assert codes(hosts.finish_some()) == [0]
    return hosts


def jobs(hosts: Hosts) -> list[tuple[int, int]]:
    """Of each job, the oldest first: tests counted, exit code."""
    return [(job["counted"], job["exit_code"]) for job in reversed(hosts.jobs())]


def more(hosts: Hosts) -> dict[str, int]:
    return {nodeid: count for nodeid, count in ran(hosts).items() if "test_more" in nodeid}


def lines(result: Result) -> list[str]:
    return [line for line in result.out.splitlines() if line.startswith("dagz:")]


def test_one_that_has_no_test_of_its_own_runs_nothing(late):
    first = late.jobs()[0]["id"]
    late.join()
    (result,) = late.finish()[1:]
    assert result.code == 0, result.out
    said = f"all of the {TESTS} tests collected here are in job {first}: nothing is left to run"
    assert any(said in line for line in lines(result)), result.out
    assert f"{TESTS} collected = 0 run + 0 redundant + {TESTS} deselected + 0 not run" in result.out
    assert jobs(late) == [(TESTS, 0)]


def test_tests_that_it_alone_has_are_a_job_of_their_own(late):
    first = late.jobs()[0]["id"]
    late.join(DZT_MORE="1")
    (result,) = late.finish()[1:]
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out
    assert more(late) == {f"test_more.py::test_more[{i}]": 1 for i in range(MORE)}
    assert f"{MORE} of {TESTS + MORE} tests collected here are not to be found in job {first}" in result.out
    account = f"{TESTS + MORE} collected = {MORE} run + 0 redundant + {TESTS} deselected + 0 not run"
    assert f"{account}; counted {MORE}, duplicates 0, lost 0" in result.out
    assert jobs(late) == [(TESTS, 0), (MORE, 0)]
    own = summary(result)["job"]
    assert own not in ("", first)
    assert f"{first} had ended: these are tests that it lacks" in late.zb("job", own).stdout


def test_one_of_them_that_fails_is_its_exit_code(late):
    late.join(DZT_MORE="bad")
    (result,) = late.finish()[1:]
    assert result.code == 1 and result.counts == {"failed": MORE, "deselected": TESTS}, result.out
    assert jobs(late) == [(TESTS, 0), (MORE, 1)]


def test_two_with_the_same_tests_are_one_job(late):
    for _ in range(2):
        late.join(DZT_MORE="1", DZT_TAKES="2")
    results = late.finish()[1:]
    assert codes(results) == [0, 0], [result.out for result in results]
    assert set(more(late).values()) == {1} and len(more(late)) == MORE
    assert jobs(late) == [(TESTS, 0), (MORE, 0)]


def test_who_comes_after_that_job_too_is_compared_with_both(late):
    for _ in range(2):
        late.join(DZT_MORE="1")
        late.finish_some()
    result = late.finish()[2]
    assert result.code == 0, result.out
    first, second = (job["id"] for job in reversed(late.jobs()))
    said = f"all of the {TESTS + MORE} tests collected here are in jobs {first}, {second}"
    assert said in result.out
    assert set(more(late).values()) == {1}


def test_without_a_store_to_compare_with_all_run(late, store):
    """It dies when this node has come: more work, but no test is dropped."""
    late.join(DZT_MORE="1", DZT_KILLS=str(store.pid()), DAGZ_FLUSH_TIMEOUT="0")
    (result,) = late.finish()[1:]
    assert result.code == 0 and result.counts == {"passed": TESTS + MORE}, result.out
    assert "what has ended cannot be compared (" in result.out
    assert f"{TESTS + MORE} results pending in" in result.out
    late.url = store.up()
    path = result.out.split("pending in ")[1].split()[0]
    assert late.zb("push", path).returncode == 0
    assert jobs(late) == [(TESTS, 0), (TESTS + MORE, 0)]


def let_collect(path: Path, end: int) -> None:
    """Who waits for `path` goes on, and who collects again does not wait."""
    path.rename(path.with_suffix(".old"))
    path.touch()
    os.close(end)


class Slow:
    """A run that comes when another schedules, and collects until their job has ended."""

    def __init__(self, party: Party, path: Path, **env: str) -> None:
        self.party, self.path = party, path
        self.other = party.join()
        party.wait_for(self.other, 1)
        os.mkfifo(path)
        self.run = party.join(DZT_WAITS=str(path), **env)
        self.end = os.open(path, os.O_WRONLY)  # it collects: it has come to its job

    def outlive(self) -> None:
        """The others' job ends, and then it has collected."""
        self.party.go()
        first = self.other.finish()
        assert first.code == 0 and first.counts == {"passed": TESTS}, first.out
        let_collect(self.path, self.end)
        self.party.done = [first]

    def finish(self) -> Result:
        result = self.run.finish()
        self.party.done.append(result)
        self.party.finish()
        return result


@pytest.fixture
def hosts(tmp_path: Path, store: DaemonPlace) -> Hosts:
    return Hosts(tmp_path, store.url(), SUITE)


ENDED = "the job had ended before this node could join it"


def outlived(party: Party, **env: str) -> Result:
    slow = Slow(party, party.project.path.parent / "waits", **env)
    slow.outlive()
    return slow.finish()


def test_one_that_still_collects_is_compared_too(hosts):
    result = outlived(hosts)
    assert result.code == 0, result.out
    (job,) = hosts.jobs()
    said = f"all of the {TESTS} tests collected here are in job {job['id']}: nothing is left to run"
    assert any(said in line for line in lines(result)), result.out
    assert "died" not in result.out and "pending in" not in result.out
    assert job["counted"] == TESTS
    assert ENDED in hosts.zb("job", job["id"]).stdout
    assert (
        result.out.count("so this project is called") == 1
    )  # the agent that began anew does not say it again


def test_one_that_still_collects_runs_what_it_alone_has(hosts):
    result = outlived(hosts, DZT_MORE="1")
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out
    assert set(more(hosts).values()) == {1} and len(more(hosts)) == MORE
    assert jobs(hosts) == [(TESTS, 0), (MORE, 0)]


def test_what_it_alone_has_may_fail(hosts):
    result = outlived(hosts, DZT_MORE="bad")
    assert result.code == 1 and result.counts == {"failed": MORE, "deselected": TESTS}, result.out
    assert jobs(hosts) == [(TESTS, 0), (MORE, 1)]


def test_one_whose_workers_collect_is_compared_too(hosts):
    result = outlived(hosts, DZT_MORE="1", PYTEST_ADDOPTS="-o dagz_fork=before-conftests")
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out
    assert jobs(hosts) == [(TESTS, 0), (MORE, 0)]


def test_workers_that_have_collected_end_when_nothing_is_left(hosts):
    result = outlived(hosts, PYTEST_ADDOPTS="-o dagz_fork=before-conftests")
    assert result.code == 0 and "nothing is left to run" in result.out, result.out
    assert jobs(hosts) == [(TESTS, 0)]


def test_its_agent_may_die_then(tmp_path, hosts):
    slow = Slow(hosts, tmp_path / "waits", DZT_MORE="1", DZT_TAKES="1")
    slow.outlive()
    hosts.wait_for(slow.run, 1)
    os.kill(hosts.agent(slow.run), signal.SIGKILL)
    result = slow.finish()
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out
    assert "the agent died and was replaced" in result.out
    assert jobs(hosts) == [(TESTS, 0), (MORE, 0)]


def test_one_that_hears_it_while_it_collects_goes_on_collecting(hosts, store):
    """The answer to who schedules comes when the job has ended."""
    has_ended = threading.Event()

    def late_answer(handler: Handler) -> None:
        has_ended.wait(WAIT_S)
        handler.forward()

    server = FaultServer(store.url(), late_answer, times=1, verb="lease")
    slow = Slow(hosts, hosts.project.path.parent / "waits", DZT_MORE="1", DAGZ_URL=server.url)
    hosts.go()
    slow.other.finish()
    has_ended.set()
    hosts.wait_until("it has heard", lambda: "had ended" in hosts.said(2) or "has ended" in hosts.said(2))
    slow.outlive()
    result = slow.finish()
    server.close()
    assert ENDED in result.out and server.left == 0, result.out
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out
    assert jobs(hosts) == [(TESTS, 0), (MORE, 0)]


def leave_first(party: Party, path: Path, **env: str) -> list[Result]:
    """The first run, which schedules, collects until another has run all, or as good as all."""
    os.mkfifo(path)
    first = party.join(DZT_WAITS=str(path), **env)
    end = os.open(path, os.O_WRONLY)
    other = party.join()
    party.wait_for(other, 1)
    party.go()
    result = other.finish()
    let_collect(path, end)
    party.done = [first.finish(), result]
    party.finish()
    return party.done


YIELDED = "this node still collects: one that has collected schedules the job from now on"


def test_a_scheduler_that_still_collects_leaves_it_to_one_that_has(tmp_path, hosts):
    first, other = leave_first(hosts, tmp_path / "waits", DZT_MORE="1")
    assert codes([first, other]) == [0, 0], first.out + other.out
    assert YIELDED in first.out and YIELDED not in other.out
    assert other.counts == {"passed": TESTS} and first.counts == {"passed": MORE, "deselected": TESTS}
    assert jobs(hosts) == [(TESTS, 0), (MORE, 0)]


def test_on_one_host_it_leaves_it_too(tmp_path):
    first, other = leave_first(Party(tmp_path, SUITE), tmp_path / "waits")
    assert codes([first, other]) == [0, 0], first.out + other.out
    assert YIELDED in first.out and other.counts == {"passed": TESTS}


def test_one_that_still_collects_on_one_host_is_compared_too(tmp_path):
    result = outlived(Party(tmp_path, SUITE), DZT_MORE="1")
    assert result.code == 0 and result.counts == {"passed": MORE, "deselected": TESTS}, result.out


def test_it_is_so_on_one_host_without_a_store(tmp_path):
    """The place to meet is there as long as a run of the first job is."""
    party = Party(tmp_path, SUITE)
    os.mkfifo(tmp_path / "stays")
    party.go()
    party.join(DZT_STAYS=str(tmp_path / "stays"))
    with open(tmp_path / "stays", "w"):  # it has told of its end by now
        party.join(DZT_MORE="1")
        party.join(DZT_MORE="1")
        results = [run.finish() for run in party.runs[1:]]
    first = party.runs[0].finish()
    party.done = [first, *results]
    party.finish()
    assert codes([first, *results]) == [0, 0, 0], [result.out for result in results]
    assert set(more(party).values()) == {1} and len(more(party)) == MORE
    told = [summary(result) for result in results]
    # Who is there only when the other has run them counts none.
    assert max(one["counted"] for one in told) == MORE
    assert summary(first)["job"] not in [one["job"] for one in told]
