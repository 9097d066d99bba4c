"""A run and its server: whatever happens to the server, the run does not care and nothing is lost or twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import leftovers
import pytest
from daemon_place import DaemonPlace, wait_for
from fault_server import FAULTS, FINAL, FaultServer
from lab import Lab, Project, Result, Run

TESTS = 120
FAILING = 12
FILES = {
    "test_work.py": """
        import os, time
        import pytest

        @pytest.mark.parametrize("n", range(%d))
        def test_work(n):
            print("line of", n)
            fd = os.open(os.environ["DZT_STATE"] + "/begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(fd, b".")
            os.close(fd)
            time.sleep(0.01)
            assert n %% 10 != 7
    """
    % TESTS
}
MARGIN_S = 4.0  # what a busy machine may add
PATIENCE_S = 5.0


class Sync:
    """A project, a home with a daemon, and what is known of the last run."""

    def __init__(self, tmp: Path) -> None:
        self.place = DaemonPlace(tmp)
        self.project: Project = Lab(tmp).project(FILES)
        shutil.copytree(self.place.dir / ".git", self.project.path / ".git")
        self.summary_path = tmp / "summary.json"
        self.env = {"DAGZ_HOME": str(self.place.home), "DAGZ_URL": ""}

    def start(self, **env: str) -> Run:
        self.summary_path.unlink(missing_ok=True)
        return self.project.start("dagz", f"--dagz-summary={self.summary_path}", env=self.env | env)

    def run(self, **env: str) -> Result:
        result = self.start(**env).finish()
        self.check_run(result)
        return result

    def summary(self) -> dict[str, Any]:
        return json.loads(self.summary_path.read_text())

    def check_run(self, result: Result) -> None:
        assert not result.timed_out and result.left == []
        assert result.code == 1, result.err
        assert list(result.outcomes.values()).count("failed") == FAILING
        told = self.summary()
        assert (told["counted"], told["lost"]) == (TESTS, 0)

    def begun(self, run: Run, count: int) -> None:
        path = Path(run.env["DZT_STATE"]) / "begun"
        wait_for("tests begin", lambda: path.exists() and path.stat().st_size >= count, 30)

    def spools(self) -> list[Path]:
        folder = self.place.home / "spool"
        return [p for p in folder.iterdir() if (p / "data.mdb").exists()] if folder.exists() else []

    def jobs(self, **env: str) -> list[dict[str, Any]]:
        done = self.place.zb("jobs", "--json", cwd=self.project.path, **env)
        assert done.returncode == 0, done.stderr
        return [job for line in done.stdout.splitlines() for job in json.loads(line)["jobs"]]

    def check_stored(self) -> None:
        """The newest job is whole, sealed, and its ledger is the run's."""
        told = self.summary()

        def is_there() -> bool:
            jobs = self.jobs()
            return bool(jobs) and jobs[0]["id"] == told["job"] and jobs[0]["state"] == "sealed"

        wait_for("the job is stored", is_there, 30)
        wait_for("the spool is gone", lambda: not self.spools(), 30)
        job = self.place.zb("job", told["job"], "--json", cwd=self.project.path)
        body = json.loads(job.stdout)
        assert body["counted"] == TESTS, body
        assert body["verdict"] == "failed", body  # "wrong count" when the ledger's digest is not the run's
        logs = self.place.zb("logs", told["job"], "--raw", cwd=self.project.path).stdout
        assert sorted(logs.count(f"line of {n}\n") for n in range(TESTS)) == [1] * TESTS


@pytest.fixture
def sync(tmp_path):
    it = Sync(tmp_path)
    yield it
    it.place.down()


def kill(sync: Sync, number: int = signal.SIGKILL) -> int:
    pid = sync.place.pid()
    os.kill(pid, number)
    return pid


def test_a_run_s_results_go_to_the_daemon_of_its_home(sync):
    url = sync.place.up()
    result = sync.run()
    assert f"results in {url}" in result.out
    assert "pending" not in result.out + result.err
    sync.check_stored()
    assert sync.summary()["short"] == sync.jobs()[0]["short_id"]


def test_results_of_silent_tests_share_requests(sync, tmp_path):
    sync.place.up()
    silent = """
        import time
        import pytest

        @pytest.mark.parametrize("n", range(300))
        def test_silent(n):
            time.sleep(0.02)
    """
    project = Lab(tmp_path / "silent").project({"test_silent.py": silent})
    began, before = time.monotonic(), answers(sync)
    result = project.run("dagz", env=sync.env)
    requests, seconds = answers(sync) - before, time.monotonic() - began
    assert (result.code, result.left) == (0, []), result.err
    assert requests < 12 + 6 * seconds, f"{requests} in {seconds:.1f} s"


def answers(sync: Sync) -> int:
    """Requests that the daemon has done so far, without this one."""
    text = sync.place.ask("/metrics").body.decode()
    return sum(int(n) for n in re.findall(r"^dagz_http_answers_total\{.*\} (\d+)$", text, re.M))


def test_without_a_daemon_the_store_is_used_and_a_daemon_shows_it_later(sync):
    result = sync.run()
    assert str(sync.place.home / "local.env/store") in result.out
    sync.place.up()
    sync.check_stored()


def test_a_run_without_the_token_that_it_was_told_of_says_so_and_keeps_all(sync, tmp_path):
    url = sync.place.up()
    token = tmp_path / "token"
    result = sync.run(DAGZ_URL=url, DAGZ_TOKEN_FILE=str(token))
    (spool,) = sync.spools()
    why = f"DAGZ_TOKEN_FILE: '{token}' cannot be read"
    assert f"{TESTS} results pending in {spool} ({why}); zb push {spool}" in result.out
    assert sync.summary()["short"] == ""  # a number of the folder's own would be another job's
    done = sync.place.zb("push", str(spool))
    assert (done.returncode, done.stderr) == (0, "")
    sync.check_stored()


@pytest.mark.parametrize("after", [0, 40, TESTS])
def test_a_killed_daemon_costs_nothing(sync, after):
    sync.place.up()
    going = sync.start()
    sync.begun(going, min(after, TESTS - 2)) if after else None
    kill(sync)
    result = going.finish()
    sync.check_run(result)
    assert "pending" not in result.out + result.err  # the home's store is ours then
    sync.check_stored()


def test_a_daemon_that_is_killed_and_comes_back_has_everything(sync):
    sync.place.up()
    going = sync.start()
    for at in (20, 50, 80):
        sync.begun(going, at)
        kill(sync)
        sync.place.up()
    sync.check_run(going.finish())
    sync.check_stored()


@pytest.mark.parametrize("after", [0, 40])
def test_a_stopped_daemon_gets_everything_when_it_goes_on(sync, after):
    sync.place.up()
    around = sync.run().seconds - sync.summary()["seconds"]  # start and end, without the tests
    if not after:
        pid = kill(sync, signal.SIGSTOP)
    going = sync.start()
    if after:
        sync.begun(going, after)
        pid = kill(sync, signal.SIGSTOP)
    result = going.finish()
    sync.check_run(result)
    assert result.seconds - sync.summary()["seconds"] < around + PATIENCE_S + MARGIN_S
    assert f"zb push {sync.spools()[0]}" in result.out
    assert sync.summary()["pending"] == str(sync.spools()[0])
    os.kill(pid, signal.SIGCONT)
    sync.check_stored()


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_wrong_answers_are_outlived(sync, name):
    server = FaultServer(sync.place.up(), FAULTS[name], times=1 if name == "silent" else 4)
    try:
        if name == "silent":
            server.http.release.set()  # type: ignore[attr-defined]
        result = sync.run(DAGZ_URL=server.url, DAGZ_FLUSH_TIMEOUT="30")
    finally:
        server.close()
    assert "pending" not in result.out + result.err
    sync.check_stored()


@pytest.mark.parametrize("name", sorted(FINAL) + ["garbage", "stuck"])
def test_a_server_that_takes_nothing_costs_the_patience_at_most(sync, name):
    server = FaultServer(sync.place.up(), (FINAL | FAULTS)[name])
    try:
        result = sync.run(DAGZ_URL=server.url, DAGZ_FLUSH_TIMEOUT="1")
    finally:
        server.close()
    (spool,) = sync.spools()
    assert f"{TESTS} results pending in {spool}" in result.out
    done = sync.place.zb("push", str(spool))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sync.check_stored()


def test_what_the_last_line_says_works_in_that_order(sync, tmp_path):
    """The server was away all the time: it has never heard of the job, and no line claims that it has."""
    url = sync.place.up()
    sync.place.down()
    home = str(tmp_path / "home-of-the-run")  # or the daemon would take the folder by itself
    result = sync.run(DAGZ_URL=url, DAGZ_FLUSH_TIMEOUT="0", DAGZ_HOME=home)
    job = sync.summary()["job"]
    assert "next:" not in result.out
    *_, last = [line for line in result.out.splitlines() if line.startswith("dagz: ")]
    push, _, then = last.partition("; ")[2].partition(" and then ")
    assert then == f"zb tests {job} outcome:failed"
    sync.place.settings(f"port: {url.rpartition(':')[2]}\n")
    sync.place.up()
    for command in (push, then):
        done = sync.place.zb(*shlex.split(command)[1:], cwd=sync.project.path, DAGZ_URL=url)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert "test_work[7]" in done.stdout


def test_a_server_that_numbers_the_job_late_has_its_job_named_at_the_end(sync):
    """It comes when the tests are over, while the run waits for it to take everything."""
    url = sync.place.up()
    sync.place.down()
    sync.place.settings(f"port: {url.rpartition(':')[2]}\n")
    run = sync.start(DAGZ_URL=url, DAGZ_FLUSH_TIMEOUT="60")
    wait_for("all have run", lambda: sync.summary_path.exists(), 60)
    sync.place.up()
    result = run.finish()
    assert result.code == 1 and not result.timed_out, result.err
    *_, last = [line for line in result.out.splitlines() if line.startswith("dagz: ")]
    assert last == f"dagz: next: zb tests {sync.summary()['job']} outcome:failed"
    done = sync.place.zb(*last.split()[3:], cwd=sync.project.path, DAGZ_URL=url)
    assert done.returncode == 0 and "test_work[7]" in done.stdout, done.stderr


def test_the_next_line_names_a_server_that_was_an_option(sync):
    """Nothing else would tell zb of it."""
    url = sync.place.up()
    result = sync.project.run("dagz", f"--dagz-url={url}", env={"DAGZ_URL": ""})
    assert f"next: zb tests j1 outcome:failed --url={url}\n" in result.out


def test_a_push_to_a_server_that_answers_and_takes_nothing_ends(sync):
    sync.run(DAGZ_URL="http://127.0.0.1:9", DAGZ_FLUSH_TIMEOUT="0")
    (spool,) = sync.spools()
    server = FaultServer(sync.place.up(), FAULTS["stuck"])
    try:
        done = sync.place.zb("push", "--wait=1", str(spool), DAGZ_URL=server.url)
    finally:
        server.close()
    assert done.returncode == 3 and "the server takes nothing" in done.stderr
    done = sync.place.zb("push", str(spool))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sync.check_stored()


def test_a_server_put_back_to_an_earlier_copy_is_given_what_it_lacks(sync, tmp_path):
    store = sync.place.home / "local.env/store"
    sync.place.up()
    sync.run()
    sync.place.down()
    shutil.copytree(store, tmp_path / "copy")
    sync.place.up()
    going = sync.start()
    sync.begun(going, 60)
    kill(sync)
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "copy", store)
    sync.place.up()
    sync.check_run(going.finish())
    sync.check_stored()


@pytest.fixture
def small_disk(sync) -> Iterator[Path]:
    """The daemon's store is on a disk of its own."""
    store = sync.place.home / "local.env/store"
    store.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "small", store], capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield store
    sync.place.down()
    subprocess.run(["umount", "-l", store], check=True)


def fill(ballast: Path) -> None:
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))


def test_a_daemon_whose_disk_is_full_says_so_and_has_everything_when_there_is_room(sync, small_disk):
    sync.place.up()
    sync.run()
    fill(small_disk / "ballast")
    result = sync.run(DAGZ_FLUSH_TIMEOUT="1")
    assert "pending" in result.out
    (spool,) = sync.spools()
    full = sync.place.zb("push", "--wait=1", str(spool))
    assert full.returncode == 3 and "space" in full.stderr, full.stderr
    assert len(sync.jobs()) <= 2  # it still answers
    (small_disk / "ballast").unlink()
    done = sync.place.zb("push", str(spool))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sync.check_stored()


def test_an_artifact_is_pushed_from_elsewhere_and_again_without_harm(sync, tmp_path):
    sync.run(DAGZ_URL="http://127.0.0.1:9", DAGZ_FLUSH_TIMEOUT="0")
    (spool,) = sync.spools()
    with tarfile.open(tmp_path / "spool.tar.gz", "w:gz") as tar:
        tar.add(spool.parent, "spool")
    shutil.copytree(spool, tmp_path / "copied")
    shutil.rmtree(spool)
    sync.place.up()
    for path in ("spool.tar.gz", "copied", "spool.tar.gz"):
        done = sync.place.zb("push", str(tmp_path / path))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        sync.check_stored()
    assert len(sync.jobs()) == 1
    assert not (tmp_path / "copied").exists()


def test_a_spool_whose_run_was_killed_while_it_was_removed_is_no_mistake(sync):
    sync.run(DAGZ_URL="http://127.0.0.1:9", DAGZ_FLUSH_TIMEOUT="0")
    (spool,) = sync.spools()
    sync.place.up()
    assert sync.place.zb("push", "--keep", str(spool)).returncode == 0
    (spool / "data.mdb").unlink()  # the first of its files that goes
    done = sync.place.zb("push", str(spool))
    assert (done.returncode, done.stdout) == (0, f"{spool}: nothing is left in it to send\n"), done.stderr


def test_the_next_run_takes_what_an_earlier_one_left(sync):
    sync.place.up()
    pid = kill(sync, signal.SIGSTOP)
    sync.run(DAGZ_FLUSH_TIMEOUT="0")
    left = sync.summary()["job"]
    os.kill(pid, signal.SIGKILL)
    sync.run()
    assert sync.spools() == []
    assert left in [job["id"] for job in sync.jobs()]


def test_a_url_that_is_none_is_refused_in_one_line(sync):
    for url in ("ftp://x", "http://me:secret@host", "localhost"):
        result = sync.project.run("dagz", f"--dagz-url={url}", env=sync.env)
        assert result.code == 4
        assert "secret" not in result.out + result.err
        assert [line for line in result.err.splitlines() if line][0].startswith("ERROR: dagz: --dagz-url")


@pytest.mark.parametrize("daemon", [False, True], ids=["without", "with"])
def test_runs_at_once_in_several_checkouts_do_not_disturb_each_other(tmp_path, daemon):
    sync = Sync(tmp_path)
    if daemon:
        sync.place.up()
    runs = []
    for i in range(3):
        (tmp_path / f"lab{i}").mkdir()
        project = Lab(tmp_path / f"lab{i}").project(FILES)
        shutil.copytree(sync.place.dir / ".git", project.path / ".git")
        summary = tmp_path / f"summary-{i}.json"
        runs.append((project.start("dagz", f"--dagz-summary={summary}", env=sync.env), summary))
    digests = {}
    for run, summary in runs:
        result = run.finish()
        assert result.code == 1 and not result.timed_out and result.left == [], result.err
        told = json.loads(summary.read_text())
        assert (told["counted"], told["lost"]) == (TESTS, 0)
        digests[told["job"]] = told["digest"]
    wait_for("all are stored", lambda: not sync.spools(), 30)
    jobs = sync.jobs()
    assert sorted(job["id"] for job in jobs) == sorted(digests)
    assert sorted(job["short_id"] for job in jobs) == ["j1", "j2", "j3"]
    assert all(job["state"] == "sealed" for job in jobs)
    sync.place.down()


KILLS = int(os.environ.get("DZT_KILLS", "100"))
LONG = """
    import os, time
    import pytest

    def is_enough():
        return os.path.exists(os.environ["DZT_STATE"] + "/enough")

    @pytest.mark.parametrize("n", range(%d))
    def test_work(n):
        print("line of", n)
        if not is_enough():  # as long as there are kills there are results
            time.sleep(0.02)
        assert n %% 10 != 7

    def test_zz_end():
        until = time.monotonic() + 300
        while not is_enough() and time.monotonic() < until:
            time.sleep(0.02)
"""


def test_a_daemon_that_is_killed_a_hundred_times_has_everything_once(sync):
    tests = 2000
    sync.project.write({"test_work.py": LONG % tests})
    chance = random.Random(KILLS)
    sync.place.up()
    going = sync.start()
    for _ in range(KILLS):
        leftovers.ended(sync.place.pid(), chance.uniform(0, 0.08))
        kill(sync)
        sync.place.up()
    (Path(going.env["DZT_STATE"]) / "enough").touch()
    result = going.finish(120)
    told = sync.summary()
    assert result.code == 1 and result.left == [], result.err
    assert (told["counted"], told["lost"]) == (tests + 1, 0)
    wait_for("the spool is gone", lambda: not sync.spools(), 60)
    (job,) = sync.jobs()
    assert (job["id"], job["state"], job["verdict"]) == (told["job"], "sealed", "failed"), job
    logs = sync.place.zb("logs", told["job"], "--raw", cwd=sync.project.path).stdout
    assert sorted(logs.count(f"line of {n}\n") for n in range(tests)) == [1] * tests
