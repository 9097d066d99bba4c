"""Hooks about workers, options and report attributes that plugins made for xdist use."""

from __future__ import annotations

import subprocess

import pytest
from snippets import BUSY, NOTE, notes

WORKERS = ("xdist", "dagz", "dagz+xdist")
ALL = ("plain", *WORKERS)

HOOKS = """
    import pytest
    from noting import note

    optional = pytest.hookimpl(optionalhook=True)

    @optional
    def pytest_xdist_setupnodes(config, specs): note("hook", step="setupnodes", count=len(specs))
    @optional
    def pytest_xdist_newgateway(gateway): note("hook", step="newgateway", id=gateway.id)
    @optional
    def pytest_configure_node(node): note("hook", step="configure", id=node.gateway.id)
    @optional
    def pytest_testnodeready(node): note("hook", step="ready", id=node.gateway.id)
    @optional
    def pytest_xdist_node_collection_finished(node, ids):
        note("hook", step="collected", id=node.gateway.id, ids=list(ids))
    @optional
    def pytest_testnodedown(node, error):
        if hasattr(node, "workeroutput"):
            note("hook", step="down", id=node.gateway.id, error=str(error))
"""


@pytest.mark.ways(*ALL)
def test_each_hook_of_a_worker_is_called_in_its_order(suite, way):
    s = suite({"noting.py": NOTE, "conftest.py": HOOKS, "test_a.py": BUSY})
    assert s.run().code == 0
    seen = notes(s.state, "hook")
    if way == "plain":
        assert seen == []
        return
    assert seen[0] == {"step": "setupnodes", "count": 2}
    for gateway in ("gw0", "gw1"):
        mine = [n for n in seen if n.get("id") == gateway]
        steps = ["newgateway", "configure", "ready", "collected", "down"]
        if way != "xdist" and gateway == "gw0":
            mine = [n for n in mine if n is not mine[-1] or n["step"] != "down"] + mine[-1:]
        assert list(dict.fromkeys(n["step"] for n in mine)) == steps
        (collected,) = [n for n in mine if n["step"] == "collected"]
        assert collected["ids"] == [f"test_a.py::test_busy[{n}]" for n in range(8)]


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("point", ["before-conftests", "after-conftests"])
def test_a_worker_that_collects_for_itself_tells_its_ids(suite, way, point):
    ini = f"[pytest]\ndagz_fork = {point}\n"
    s = suite({"pytest.ini": ini, "noting.py": NOTE, "conftest.py": HOOKS, "test_a.py": BUSY})
    assert s.run().code == 0
    seen = [n for n in notes(s.state, "hook") if n["step"] == "collected"]
    assert {n["id"]: len(n["ids"]) for n in seen} == {"gw0": 8, "gw1": 8} and len(seen) == 2


@pytest.mark.ways("dagz", "dagz+xdist")
def test_hooks_that_are_not_asked_are_named_once(suite, way):
    s = suite(
        {
            "conftest.py": """
                def pytest_xdist_make_scheduler(config, log): raise AssertionError
                def pytest_xdist_auto_num_workers(config): raise AssertionError
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    for name in ("pytest_xdist_make_scheduler", "pytest_xdist_auto_num_workers"):
        assert result.out.count(name) == 1
    assert "is ignored" not in suite({"test_a.py": BUSY}).run().out


@pytest.mark.ways(*ALL)
def test_options_say_whether_tests_are_shared_and_never_so_in_a_worker(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                from noting import note
                def pytest_sessionstart(session):
                    get = session.config.getoption
                    note("option", worker=hasattr(session.config, "workerinput"),
                         number=get("numprocesses", None), dist=get("dist", "no"))
            """,
            "test_a.py": BUSY,
        }
    )
    assert s.run().code == 0
    seen = notes(s.state, "option")
    (main,) = [(n["number"], n["dist"]) for n in seen if not n["worker"]]
    assert main == ((None, "no") if way == "plain" else (2, "load"))
    in_workers = {(n["number"], n["dist"]) for n in seen if n["worker"]}
    assert in_workers == (set() if way == "plain" else {(None, "no")})


@pytest.mark.ways(*ALL)
def test_reports_carry_the_id_of_the_run(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                from noting import note
                def pytest_runtest_logreport(report):
                    if not hasattr(report, "node"): return
                    note("report", uid=report.testrun_uid, same=report.testrun_uid ==
                         report.node.workerinput["testrunuid"], id=report.worker_id)
            """,
            "test_a.py": BUSY,
        }
    )
    assert s.run().code == 0
    seen = notes(s.state, "report")
    assert len(seen) == (0 if way == "plain" else 24)
    assert len({n["uid"] for n in seen}) == (way != "plain") and all(n["same"] for n in seen)


def count_of(lab, args, env, way="plain"):
    """What PYTEST_XDIST_WORKER_COUNT is in a run with these arguments and no --dagz-workers."""
    code = "import os\ndef test(): assert 0, 'count=' + os.environ.get('PYTEST_XDIST_WORKER_COUNT', 'none')"
    project = lab.project({"test_a.py": code})
    argv, venv = project.command(way, [])
    argv = [a for a in argv if a not in ("-n", "2")] + args
    full = project.environment(venv, env)
    run = subprocess.run(argv, cwd=project.path, env=full, capture_output=True, text=True, timeout=60)
    assert "count=" in run.stdout, run.stdout + run.stderr
    return run.stdout.split("count=")[-1].split()[0]


@pytest.mark.parametrize("args, variables, count", [
    (["-n", "auto"], {"PYTEST_XDIST_AUTO_NUM_WORKERS": "3"}, "3"),
    (["-n", "logical"], {"PYTEST_XDIST_AUTO_NUM_WORKERS": "3"}, "3"),
    (["-n", "auto", "--maxprocesses=1"], {"PYTEST_XDIST_AUTO_NUM_WORKERS": "many"}, "1"),
    (["-n", "4", "--maxprocesses=3"], {}, "3"),
    (["-n", "0"], {}, "none"),
    (["-n", "3", "--dist=worksteal"], {}, "3"),
])  # fmt: skip
def test_numbers_of_workers_in_words_of_xdist(lab, args, variables, count):
    assert count_of(lab, args, variables, "xdist") == count
    assert count_of(lab, ["--dagz", *args], variables, "xdist") == count
    assert count_of(lab, ["--dagz", *args], variables) == count
