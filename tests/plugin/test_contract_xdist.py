"""What plugins and conftests that know xdist find: the same with xdist and with dagz."""

from __future__ import annotations

import subprocess

import pytest
from snippets import BUSY, NOTE, notes

WORKERS = ("xdist", "dagz", "dagz+xdist")
ALL = ("plain", *WORKERS)


def values(suite, name, key):
    return sorted(str(note[key]) for note in notes(suite.state, name))


@pytest.mark.smoke
@pytest.mark.ways(*ALL)
def test_the_environment_names_worker_count_and_run_in_each_test(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_a.py": """
                import os, pytest
                from dzt_meet import meet; from noting import note
                @pytest.mark.parametrize("n", range(8))
                def test_env(n):
                    meet()
                    get = os.environ.get
                    note("env", id=get("PYTEST_XDIST_WORKER"), count=get("PYTEST_XDIST_WORKER_COUNT"),
                         uid=get("PYTEST_XDIST_TESTRUNUID"))
            """,
        }
    )
    result = s.run()
    assert result.code == 0
    ids, counts, uids = (set(values(s, "env", k)) for k in ("id", "count", "uid"))
    assert len(notes(s.state, "env")) == 8
    if way == "plain":
        assert (ids, counts, uids) == ({"None"}, {"None"}, {"None"})
    else:
        assert ids == {"gw0", "gw1"} and counts == {"2"}
        assert len(uids) == 1 and len(uids.pop()) == 32


@pytest.mark.ways(*ALL)
def test_count_and_run_id_are_set_before_a_conftest_is_imported(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import os
                from noting import note
                COUNT = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
                UID = os.environ.get("PYTEST_XDIST_TESTRUNUID")
                def pytest_runtest_setup(item):
                    note("early", count=COUNT, same=UID == os.environ.get("PYTEST_XDIST_TESTRUNUID"))
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    count = "None" if way == "plain" else "2"
    assert set(values(s, "early", "count")) == {count} and set(values(s, "early", "same")) == {"True"}


@pytest.mark.smoke
@pytest.mark.ways(*ALL)
def test_fixtures_worker_id_and_testrun_uid(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_a.py": """
                import os, pytest
                from dzt_meet import meet; from noting import note
                @pytest.fixture(scope="session")
                def in_session(worker_id, testrun_uid):
                    return worker_id, testrun_uid
                @pytest.mark.parametrize("n", range(8))
                def test_ids(n, worker_id, testrun_uid, in_session):
                    meet()
                    assert in_session == (worker_id, testrun_uid)
                    assert worker_id == os.environ["PYTEST_XDIST_WORKER"]
                    note("ids", id=worker_id, uid=testrun_uid)
            """,
        }
    )
    result = s.run()
    if way == "plain":
        assert result.code == 1 and set(result.outcomes.values()) == {"error"}
        assert "fixture 'worker_id' not found" in result.out
        return
    assert result.code == 0
    assert set(values(s, "ids", "id")) == {"gw0", "gw1"}
    assert len(set(values(s, "ids", "uid"))) == 1


@pytest.mark.ways("dagz", "dagz+xdist")
def test_worker_id_is_master_without_workers(suite, way):
    s = suite({"test_a.py": "def test_id(worker_id): assert worker_id == 'master'"})
    result = s.run("--dagz-workers=0")
    assert result.code == 0


@pytest.mark.smoke
@pytest.mark.ways(*ALL)
def test_workerinput_and_workeroutput(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import os
                from noting import note
                import pytest
                @pytest.hookimpl(optionalhook=True)
                def pytest_configure_node(node):
                    node.workerinput["shared_dir"] = "/srv/" + node.gateway.id
                @pytest.hookimpl(optionalhook=True)
                def pytest_testnodedown(node, error):
                    note("down", id=node.gateway.id, error=repr(error),
                         out=node.workeroutput.get("answer"), given=node.workerinput["shared_dir"])
                def pytest_sessionfinish(session):
                    config = session.config
                    if hasattr(config, "workerinput"):
                        config.workeroutput["answer"] = "from " + config.workerinput["workerid"]
                def pytest_runtest_setup(item):
                    given = getattr(item.config, "workerinput", None)
                    if given is None: return
                    note("input", id=given["workerid"], count=given["workercount"],
                         uid=len(given["testrunuid"]), dir=given["shared_dir"],
                         argv=isinstance(given["mainargv"], list), env=os.environ["PYTEST_XDIST_WORKER"])
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    seen = notes(s.state, "input")
    if way == "plain":
        assert seen == [] and notes(s.state, "down") == []
        return
    assert {n["id"] for n in seen} == {"gw0", "gw1"}
    for note in seen:
        assert note["dir"] == "/srv/" + note["id"] and note["env"] == note["id"]
        assert (note["count"], note["uid"], note["argv"]) == (2, 32, True)
    down = [n for n in notes(s.state, "down") if n["out"] is not None]
    answers = {(n["id"], n["out"], n["given"], n["error"]) for n in down}
    for gw in ("gw0", "gw1"):
        assert (gw, f"from {gw}", f"/srv/{gw}", "None") in answers
    if way == "xdist":
        assert len(down) == 2


@pytest.mark.ways(*ALL)
def test_what_plugins_touch_on_a_node(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import pytest
                from noting import note
                @pytest.hookimpl(optionalhook=True)
                def pytest_configure_node(node):
                    info = node.gateway._rinfo()
                    note("node", id=node.gateway.id, platform=info.platform, version=list(info.version_info),
                         input=node.workerinput["workerid"], config=node.config.rootpath.name,
                         roots=isinstance(node.nodemanager.roots, list))
                @pytest.hookimpl(optionalhook=True)
                def pytest_testnodeready(node):
                    note("ready", id=node.gateway.id)
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    nodes = notes(s.state, "node")
    if way == "plain":
        assert nodes == [] and notes(s.state, "ready") == []
        return
    assert {n["id"] for n in nodes} >= {"gw0", "gw1"}
    for node in nodes:
        assert node["id"] == node["input"] and node["config"] == "suite" and node["roots"]
        assert node["platform"] == "linux" and len(node["version"]) == 5
    assert set(values(s, "ready", "id")) == {"gw0", "gw1"}


@pytest.mark.smoke
@pytest.mark.ways(*ALL)
def test_reports_carry_worker_id_and_node(suite, way):
    s = suite({"test_a.py": BUSY})
    result = s.run()
    ids = {None} if way == "plain" else {"gw0", "gw1"}
    assert {(r.worker, r.node) for r in result.reports} == {(i, i) for i in ids}


@pytest.mark.ways(*ALL)
def test_the_reporting_process_has_no_workerinput(suite, way):
    s = suite({"test_a.py": BUSY})
    result = s.run()
    (finish,) = result.of("finish")
    assert finish["workerinput"] is False
    assert finish["code"] == 0 and finish["collected"] == 8


@pytest.mark.ways(*ALL)
def test_the_reporting_session_has_no_items(suite, way):
    s = suite({"test_a.py": BUSY})
    (finish,) = s.run().of("finish")
    assert finish["items"] == (8 if way == "plain" else 0)


@pytest.mark.ways(*ALL)
def test_basetemp_of_a_worker_is_below_a_shared_one(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_a.py": """
                import os, pytest
                from dzt_meet import meet; from noting import note
                @pytest.mark.parametrize("n", range(8))
                def test_tmp(n, tmp_path, tmp_path_factory):
                    meet()
                    worker_id = os.environ.get("PYTEST_XDIST_WORKER")
                    base = tmp_path_factory.getbasetemp()
                    assert tmp_path.parent == base and list(tmp_path.iterdir()) == []
                    tmp_path.joinpath("mine").touch()
                    note("tmp", base=base.name, id=worker_id, parent=str(base.parent), path=str(tmp_path))
            """,
        }
    )
    result = s.run()
    assert result.code == 0
    seen = notes(s.state, "tmp")
    if way == "plain":
        assert {(n["base"], n["id"]) for n in seen} == {("pytest-0", None)}
    else:
        assert {(n["base"], n["id"]) for n in seen} == {("popen-gw0", "gw0"), ("popen-gw1", "gw1")}
    assert len({n["parent"] for n in seen}) == 1 and len({n["path"] for n in seen}) == 8


@pytest.mark.ways(*ALL)
def test_basetemp_given_on_the_command_line(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os
                def test_tmp(tmp_path):
                    gw = os.environ.get("PYTEST_XDIST_WORKER")
                    names = [p.name for p in tmp_path.parents]
                    assert names[: 2 if gw else 1] == (["popen-" + gw, "mybase"] if gw else ["mybase"])
            """
        }
    )
    result = s.run(f"--basetemp={s.path / 'mybase'}")
    assert result.code == 0


@pytest.mark.ways(*ALL)
def test_the_recipe_for_once_per_run_with_a_lock(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import fcntl, json, pytest
                from noting import note
                @pytest.fixture(scope="session")
                def data(request, tmp_path_factory):
                    has_workers = request.config.pluginmanager.hasplugin("xdist")
                    worker_id = request.getfixturevalue("worker_id") if has_workers else "master"
                    base = tmp_path_factory.getbasetemp()
                    root = base if worker_id == "master" else base.parent
                    with open(root / "lock", "w") as lock:
                        fcntl.flock(lock, fcntl.LOCK_EX)
                        path = root / "data.json"
                        if not path.exists():
                            note("made", by=worker_id)
                            path.write_text(json.dumps([1, 2]))
                    return json.loads(path.read_text())
            """,
            "test_a.py": """
                import time, pytest
                @pytest.mark.parametrize("n", range(8))
                def test_data(n, data):
                    time.sleep(0.05)
                    assert data == [1, 2]
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and len(notes(s.state, "made")) == 1


@pytest.mark.ways(*ALL)
def test_names_of_plugins_that_others_ask_for(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                from noting import note
                def pytest_sessionstart(session):
                    config = session.config
                    note("has", worker=hasattr(config, "workerinput"),
                         xdist=config.pluginmanager.hasplugin("xdist"),
                         dsession=config.pluginmanager.hasplugin("dsession"),
                         reporter=config.pluginmanager.hasplugin("terminalreporter"))
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    seen = notes(s.state, "has")
    assert all(n["xdist"] is (way != "plain") for n in seen)
    controller = [n for n in seen if not n["worker"]]
    assert len(controller) == 1 and controller[0]["reporter"]
    if s.is_dagz:
        assert not any(n["dsession"] for n in seen)


@pytest.mark.ways(*ALL)
def test_a_test_that_asks_for_xdist_hears_whether_it_is_installed(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest
                from importlib.util import find_spec
                is_there = find_spec("xdist") is not None

                def ask(config):
                    return config.pluginmanager.hasplugin("xdist")

                def test_body(pytestconfig):
                    assert ask(pytestconfig) is is_there
                    assert (pytestconfig.pluginmanager.get_plugin("xdist") is not None) is is_there

                @pytest.fixture
                def my_id(request):
                    return request.getfixturevalue("worker_id") if ask(request.config) else "master"

                def test_fixture(my_id):
                    assert my_id.startswith("gw") is WORKERS
            """.replace("WORKERS", str(way != "plain"))
        }
    )
    assert s.run().code == 0


@pytest.mark.ways(*ALL)
def test_functions_of_the_xdist_module(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest
                xdist = pytest.importorskip("xdist")
                def test_ask(request, worker_id):
                    assert xdist.is_xdist_worker(request) and not xdist.is_xdist_controller(request)
                    assert xdist.get_xdist_worker_id(request) == worker_id
            """
        }
    )
    result = s.run()
    is_installed = "xdist" in way
    assert result.code == (0 if is_installed else 5)
    assert result.counts == ({"passed": 1} if is_installed else {"skipped": 1})


@pytest.mark.ways("dagz+xdist")
def test_the_session_of_an_installed_xdist_never_starts(suite, way):
    s = suite({"test_a.py": BUSY})
    result = s.run("-v")
    assert result.code == 0 and result.counts == {"passed": 8}
    assert "bringing up nodes" not in result.out and "scheduling tests via" not in result.out


# xdist knows the mark, but honours it only under --dist=loadgroup.
@pytest.mark.ways(*ALL)
def test_the_marker_xdist_group_is_known_and_honoured(suite, way):
    marker = "markers =\n    xdist_group(name): known\n" if way == "plain" else ""
    s = suite(
        {
            "pytest.ini": f"[pytest]\naddopts = --strict-markers\n{marker}",
            "noting.py": NOTE,
            "test_a.py": """
                import os, pytest
                from dzt_meet import meet; from noting import note
                def where(group):
                    meet()
                    note("where", group=group, id=os.environ.get("PYTEST_XDIST_WORKER"))
                @pytest.mark.xdist_group("one")
                @pytest.mark.parametrize("n", range(6))
                def test_one(n): where("one")
                @pytest.mark.xdist_group(name="two")
                @pytest.mark.parametrize("n", range(6))
                def test_two(n): where("two")
                @pytest.mark.parametrize("n", range(12))
                def test_free(n): where("free")
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 24}
    for group in ("one", "two") if way != "xdist" else ():
        assert len({n["id"] for n in notes(s.state, "where") if n["group"] == group}) == 1
    if way != "plain":
        assert len({n["id"] for n in notes(s.state, "where")}) == 2


@pytest.mark.ways("dagz", "dagz+xdist")
@pytest.mark.parametrize("dist", ["loadfile", "loadscope"])
def test_options_of_xdist_in_addopts_are_mapped_and_said_once(suite, way, dist):
    body = """
        import os, time, pytest
        from noting import note
        class TestClass:
            @pytest.mark.parametrize("n", range(5))
            def test_where(self, n):
                time.sleep(0.02)
                note("where", file=__name__, id=os.environ["PYTEST_XDIST_WORKER"],
                     count=os.environ["PYTEST_XDIST_WORKER_COUNT"])
    """
    files = {f"test_{c}.py": body for c in "abcd"}
    s = suite({"pytest.ini": f"[pytest]\naddopts = -n 3 --dist {dist}\n", "noting.py": NOTE, **files})
    result = s.project.run(way, "--dagz", env={})
    # The command line's own --dagz-workers=2 is stronger than -n 3 of addopts.
    assert result.code == 0 and result.left == []
    seen = notes(s.state, "where")
    assert len(seen) == 20 and {n["count"] for n in seen} == {"2"}
    for file in {n["file"] for n in seen}:
        assert len({n["id"] for n in seen if n["file"] == file}) == 1
    said = [line for line in result.out.splitlines() if "-n 3" in line or f"--dist {dist}" in line]
    assert len(said) == 1


@pytest.mark.ways("dagz", "dagz+xdist")
def test_numprocesses_of_addopts_is_the_number_of_workers(lab, way):
    project = lab.project(
        {
            "pytest.ini": "[pytest]\naddopts = -n 3\n",
            "test_a.py": """
                import os
                def test_count(): assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "3"
            """,
        }
    )
    argv, venv = project.command("plain" if way == "dagz" else "xdist", ["--dagz"])
    argv = [a for a in argv if a not in ("-n", "2")]
    run = subprocess.run(
        argv, cwd=project.path, env=project.environment(venv, {}), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.ways(*ALL)
def test_seeds_differ_between_workers_only_where_nobody_seeds(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": "import random; random.random()",
            "test_a.py": """
                import os, random, pytest, uuid
                from dzt_meet import meet; from noting import note
                FIRST = {}
                @pytest.mark.parametrize("n", range(8))
                def test_random(n):
                    meet()
                    worker_id = os.environ.get("PYTEST_XDIST_WORKER")
                    if worker_id not in FIRST:
                        FIRST[worker_id] = random.random()
                        note("first", id=worker_id, value=FIRST[worker_id])
            """,
        }
    )
    result = s.run()
    assert result.code == 0
    assert len(set(values(s, "first", "value"))) == (1 if way == "plain" else 2)


@pytest.mark.ways(*ALL)
def test_hook_specifications_of_xdist_are_accepted_under_strict_plugins(suite, way):
    s = suite(
        {
            "conftest.py": """
                def pytest_xdist_make_scheduler(config, log): return None
                def pytest_xdist_setupnodes(config, specs): pass
                def pytest_xdist_node_collection_finished(node, ids): pass
                def pytest_xdist_auto_num_workers(config): return 2
                def pytest_handlecrashitem(crashitem, report, sched): pass
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    if way == "plain":
        assert result.code == 3 and "unknown hook" in result.out
        return
    assert result.code == 0 and result.counts == {"passed": 8}
