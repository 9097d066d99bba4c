"""Workers: fixtures once per worker, hooks of a session once per id, early reads of the id, recycling."""

from __future__ import annotations

import os
import re
import uuid

import pytest
from snippets import BUSY, NOTE, notes

WORKERS = ("xdist", "dagz", "dagz+xdist")
DAGZ = ("dagz", "dagz+xdist")

# Each of two workers gets a test: the first waits, with a deadline, until the other has one too.
MEET = """
    import os, pathlib, time, pytest
    from dzt_meet import meet
    @pytest.mark.parametrize("n", range(8))
    def test_meet(n, worker_id):
        meet()
        assert len(list(pathlib.Path(os.environ["DZT_STATE"]).glob("met-*"))) == 2
"""


@pytest.mark.smoke
@pytest.mark.ways(*WORKERS)
def test_two_workers_run_tests_at_the_same_time(suite, way):
    result = suite({"test_a.py": MEET}).run()
    assert result.code == 0 and result.counts == {"passed": 8}


@pytest.mark.smoke
@pytest.mark.ways(*WORKERS)
def test_wide_fixtures_are_made_and_torn_down_once_per_worker(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import pytest
                from noting import note
                def wide(scope):
                    @pytest.fixture(scope=scope, autouse=True, name=scope + "_wide")
                    def fixture(worker_id):
                        note(scope, id=worker_id, what="up")
                        yield
                        note(scope, id=worker_id, what="down")
                    return fixture
                in_session, in_package = wide("session"), wide("package")
            """,
            "test_a.py": MEET,
        }
    )
    result = s.run()
    assert result.code == 0
    for scope in ("session", "package"):
        seen = sorted((n["id"], n["what"]) for n in notes(s.state, scope))
        assert seen == [("gw0", "down"), ("gw0", "up"), ("gw1", "down"), ("gw1", "up")]


@pytest.mark.ways("plain", *WORKERS)
def test_module_and_class_fixtures_are_torn_down_before_the_next_are_made(suite, way):
    body = """
        import os, pytest
        from noting import note
        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            note("order", pid=os.getpid(), what="up", module=__name__)
            yield
            note("order", pid=os.getpid(), what="down", module=__name__)
        @pytest.mark.parametrize("n", range(4))
        def test_n(n): pass
    """
    s = suite({"noting.py": NOTE, **{f"test_{c}.py": body for c in "abcd"}})
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 16}
    for pid in {n["pid"] for n in notes(s.state, "order")}:
        steps = [(n["what"], n["module"]) for n in notes(s.state, "order") if n["pid"] == pid]
        for up, down in zip(steps[::2], steps[1::2]):
            assert up[0] == "up" and down == ("down", up[1])


SESSION_HOOKS = """
    import os
    from noting import note
    def who(session): return getattr(session.config, "workerinput", {"workerid": "controller"})["workerid"]
    def pytest_sessionstart(session): note("hook", what="start", id=who(session))
    def pytest_sessionfinish(session): note("hook", what="finish", id=who(session))
"""


@pytest.mark.smoke
@pytest.mark.ways("plain", *WORKERS)
def test_session_hooks_of_a_conftest_run_once_per_worker_and_in_the_controller(suite, way):
    s = suite({"noting.py": NOTE, "conftest.py": SESSION_HOOKS, "test_a.py": BUSY})
    result = s.run()
    assert result.code == 0
    seen = sorted((n["id"], n["what"]) for n in notes(s.state, "hook"))
    all_ids = ("controller",) if way == "plain" else ("controller", "gw0", "gw1")
    assert seen == [(who, what) for who in all_ids for what in ("finish", "start")]


@pytest.mark.ways(*WORKERS)
def test_per_worker_files_are_created_and_dropped_once(suite, way):
    s = suite(
        {
            "conftest.py": """
                import os, pathlib
                def place(session):
                    return pathlib.Path(os.environ["DZT_STATE"], "db_" + session.config.workerinput["workerid"])
                def pytest_sessionstart(session):
                    if hasattr(session.config, "workerinput"): place(session).mkdir()
                def pytest_sessionfinish(session):
                    if hasattr(session.config, "workerinput"): place(session).rmdir()
            """,
            "test_a.py": MEET.replace(
                "meet()\n",
                'assert pathlib.Path(os.environ["DZT_STATE"], "db_" + worker_id).is_dir()\n        meet()\n',
            ),
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 8}
    assert list(s.state.glob("db_*")) == [] and result.err == ""


def database_url() -> str:
    """A PostgreSQL server on this host whose user may create databases."""
    return os.environ.get("DZT_POSTGRES", "host=127.0.0.1 user=postgres dbname=postgres")


@pytest.mark.ways(*WORKERS)
def test_a_real_database_per_worker_is_created_and_dropped_once(suite, way):
    prefix = f"dzt_{uuid.uuid4().hex[:12]}"
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": f"""
                import psycopg, pytest
                from noting import note
                SERVER = {database_url()!r}
                def name(config): return "{prefix}_" + config.workerinput["workerid"]
                def admin(command, config):
                    with psycopg.connect(SERVER, autocommit=True) as server:
                        server.execute(command + " " + name(config))
                    note("sql", what=command, id=config.workerinput["workerid"])
                def pytest_sessionstart(session):
                    if hasattr(session.config, "workerinput"): admin("CREATE DATABASE", session.config)
                def pytest_sessionfinish(session):
                    if hasattr(session.config, "workerinput"): admin("DROP DATABASE", session.config)
                @pytest.fixture
                def db(request):
                    with psycopg.connect(SERVER, dbname=name(request.config)) as connection: yield connection
            """,
            "test_db.py": """
                import pytest
                @pytest.mark.parametrize("n", range(6))
                def test_db(n, db, worker_id):
                    (found,) = db.execute("select current_database()").fetchone()
                    assert found.endswith("_" + worker_id)
            """,
        }
    )
    passwords = {k: v for k, v in os.environ.items() if k.startswith("PG")}
    result = s.run(env=passwords)
    assert result.code == 0 and result.counts == {"passed": 6}
    seen = sorted((n["id"], n["what"]) for n in notes(s.state, "sql"))
    assert seen == [(gw, what) for gw in ("gw0", "gw1") for what in ("CREATE DATABASE", "DROP DATABASE")]


READERS = {
    "conftest": (
        {"conftest.py": "import os\n\nMINE = os.environ.get('PYTEST_XDIST_WORKER')\n", "test_a.py": ""},
        "conftest.MINE",
        "conftest.py:3",
    ),
    "module": (
        {
            "helper.py": "from os import environ\nMINE = environ['PYTEST_XDIST_WORKER']\n",
            "test_a.py": "import helper\n",
        },
        "helper.MINE",
        "helper.py:2",
    ),
    "getenv": (
        {"test_a.py": "import os\nMINE = os.getenv('PYTEST_XDIST_WORKER', 'master')\n"},
        "__import__('test_a').MINE",
        "test_a.py:2",
    ),
    "configure": (
        {
            "conftest.py": """
                def pytest_configure(config):
                    if hasattr(config, "workerinput"):
                        config.mine = config.workerinput["workerid"]
            """,
            "test_a.py": "",
        },
        "request.config.mine",
        "conftest.py:3",
    ),
}


@pytest.mark.ways("plain", *WORKERS)
@pytest.mark.parametrize("kind", READERS)
def test_an_id_read_before_the_fork_is_right_in_all_workers(suite, way, kind):
    files, value, place = READERS[kind]
    test = f"""
import conftest as conftest_module, os, pathlib, sys, pytest
from dzt_meet import meet
try: import helper
except ImportError: pass
@pytest.mark.parametrize("n", range(6))
def test_mine(n, request):
    conftest = sys.modules.get("conftest")
    me = os.environ["PYTEST_XDIST_WORKER"]
    assert me == "of the user" or {value} == me
    meet()
    pathlib.Path(os.environ["DZT_STATE"], "ran-" + me).touch()
"""
    files = {"conftest.py": "", **files}
    files["test_a.py"] = files["test_a.py"] + test
    s = suite(files)
    result = s.run(env={"PYTEST_XDIST_WORKER": "of the user"} if way == "plain" else {})
    assert result.code == 0 and result.counts["passed"] == 6
    if way == "plain":
        return
    assert {p.name for p in s.state.glob("ran-*")} == {"ran-gw0", "ran-gw1"}
    if s.is_dagz:
        named = [line for line in result.out.splitlines() if place in line]
        assert len(named) == 1


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("point", ["after-collection", "after-conftests", "before-conftests"])
def test_the_point_of_the_fork_can_be_forced(suite, way, point):
    s = suite(
        {
            "pytest.ini": f"[pytest]\ndagz_fork = {point}\n",
            "noting.py": NOTE,
            "conftest.py": "import os\nfrom noting import note\nnote('conftest', pid=os.getpid())",
            "test_a.py": "import os\nfrom noting import note\nnote('module', pid=os.getpid())\n"
            + MEET.replace("\n    ", "\n"),
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 8}
    imports = len({n["pid"] for n in notes(s.state, "module")})
    assert imports == (1 if point == "after-collection" else 2)
    # the controller's import of the root conftest serves all who do not want one of their own
    assert len({n["pid"] for n in notes(s.state, "conftest")}) == {"before-conftests": 3}.get(point, 1)


@pytest.mark.ways(*DAGZ)
@pytest.mark.parametrize(
    "more, times",
    [
        ("", 1),
        ("import os; os.environ.get('PYTEST_XDIST_WORKER_COUNT')", 2),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
            4,
        ),  # each worker too
    ],
    ids=["nothing else", "asks what a worker is told", "starts a thread"],
)
def test_conftests_are_loaded_once_where_nothing_speaks_against_it(suite, way, more, times):
    conftest = f"from noting import note\nnote('conftest')\n{more}\n"
    s = suite({"noting.py": NOTE, "conftest.py": conftest, "test_a.py": MEET})
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 8}
    assert len(notes(s.state, "conftest")) == times


@pytest.mark.ways("plain", "dagz")
@pytest.mark.parametrize("capture, seen", [("fd", ["python", "child"]), ("sys", ["python"])])
def test_what_conftests_say_stays_with_the_first_file_that_cannot_be_collected(suite, way, capture, seen):
    s = suite(
        {
            "conftest.py": "import os\nprint('by python', flush=True)\nos.system('echo by a child')",
            "test_a.py": "raise RuntimeError",
        }
    )
    result = s.run(f"--capture={capture}")
    errors = result.out.partition("= ERRORS =")[2]
    assert result.code == 2
    assert [who for who in ("python", "child") if f"by {'a ' * (who == 'child')}{who}" in errors] == seen


@pytest.mark.ways("dagz")
def test_a_suite_is_collected_once(suite, way):
    s = suite(
        {"noting.py": NOTE, "test_a.py": "from noting import note\nnote('import')\n" + "def test_a(): pass"}
    )
    result = s.run(workers=4)
    assert result.code == 0 and len(notes(s.state, "import")) == 1


@pytest.mark.ways("plain", *WORKERS)
def test_the_logging_recipe_of_the_xdist_documentation(suite, way):
    s = suite(
        {
            "conftest.py": """
                import logging, os
                def pytest_configure(config):
                    worker_id = os.environ.get("PYTEST_XDIST_WORKER")
                    if worker_id is not None:
                        logging.basicConfig(filename=os.environ["DZT_STATE"] + f"/tests_{worker_id}.log",
                                            format="%(message)s", level="INFO")
            """,
            "test_a.py": """
                import logging, os, pytest
                from dzt_meet import meet
                @pytest.mark.parametrize("n", range(6))
                def test_log(n):
                    logging.info(os.environ.get("PYTEST_XDIST_WORKER")); meet()
            """,
        }
    )
    result = s.run("-p", "no:logging")
    assert result.code == 0
    gateways = () if way == "plain" else ("gw0", "gw1")
    assert len(list(s.state.glob("tests_*.log"))) == len(gateways)
    for gw in gateways:
        assert set((s.state / f"tests_{gw}.log").read_text().split()) == {gw}


@pytest.mark.ways("dagz")
def test_a_worker_above_its_memory_is_replaced_between_tests(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_a.py": """
                import os, pytest
                from noting import note
                KEPT = []
                @pytest.fixture(scope="session", autouse=True)
                def torn_down(worker_id):
                    yield
                    note("down", id=worker_id, pid=os.getpid())
                @pytest.mark.parametrize("n", range(12))
                def test_grow(n, worker_id):
                    KEPT.append(os.urandom(40_000_000))
                    note("ran", id=worker_id, pid=os.getpid())
            """,
        }
    )
    result = s.run("--dagz-worker-memory=100000000")
    assert result.code == 0 and result.counts == {"passed": 12}
    pids = {n["pid"] for n in notes(s.state, "ran")}
    assert len(pids) > 2 and {n["id"] for n in notes(s.state, "ran")} <= {"gw0", "gw1"}
    assert {n["pid"] for n in notes(s.state, "down")} == pids


@pytest.mark.ways("dagz")
def test_threads_alive_at_the_fork_are_named_in_one_warning(suite, way):
    s = suite(
        {
            "test_a.py": """
                import threading
                stop = threading.Event()
                threading.Thread(target=stop.wait, name="keeps-cache-warm", daemon=True).start()
                threading.Thread(target=stop.wait, name="polls-config", daemon=True).start()
                def test_a(): pass
                def test_b(): pass
            """
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts["passed"] == 2
    text = result.out + result.err
    assert text.count("keeps-cache-warm") == 1 and text.count("polls-config") == 1


@pytest.mark.ways("plain", "xdist", "dagz")
def test_exit_handlers_and_buffers_of_the_parent_do_not_run_twice(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import atexit, os
                from noting import note
                PID = os.getpid()
                atexit.register(lambda: note("exit", own=PID == os.getpid(), pid=os.getpid()))
            """,
            "test_a.py": """
                import os
                HANDLE = open(os.environ["DZT_STATE"] + "/buffered", "a")
                HANDLE.write("once\\n")
                def test_a(): pass
                def test_b(): pass
            """,
        }
    )
    result = s.run()
    assert result.code == 0
    assert all(n["own"] for n in notes(s.state, "exit"))
    times = 2 if way == "xdist" else 1  # each of its workers imports
    assert (s.state / "buffered").read_text() == "once\n" * times


@pytest.mark.ways("plain", "dagz")
def test_files_opened_at_import_stay_open(suite, way):
    s = suite(
        {
            "conftest.py": "import tempfile, socket\nFILE = tempfile.TemporaryFile()\nPAIR = socket.socketpair()",
            "test_a.py": """
                import conftest, pytest
                @pytest.mark.parametrize("n", range(4))
                def test_use(n):
                    conftest.FILE.write(b"x"); conftest.FILE.flush()
                    conftest.PAIR[0].send(b"y"); assert conftest.PAIR[1].recv(1) == b"y"
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 4}


@pytest.mark.ways("dagz")
def test_processes_that_a_test_leaves_are_named_and_ended(suite, way):
    s = suite(
        {
            "test_a.py": """
                import subprocess
                def test_leaves(): subprocess.Popen(["sleep", "987"])
                def test_daemon():
                    subprocess.run(["sh", "-c", "setsid sleep 986 >/dev/null 2>&1 </dev/null &"])
            """
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts["passed"] == 2
    text = result.out + result.err
    assert "sleep 987" in text or re.search(r"sleep\b", text)


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("workers", ["auto", "1", "5"])
def test_number_of_workers(lab, way, workers):
    project = lab.project({"test_a.py": BUSY})
    result = project.run("dagz", f"--dagz-workers={workers}")
    assert result.code == 0 and result.left == []
    ids = {r.worker for r in result.reports}
    assert ids <= {f"gw{n}" for n in range(64)} and len(ids) <= (5 if workers == "5" else 64)
    if workers == "1":
        assert ids == {"gw0"}


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("value", ["-1", "many", "1.5", ""])
def test_a_bad_number_of_workers_is_a_usage_error(lab, way, value):
    project = lab.project({"test_a.py": BUSY})
    result = project.run("dagz", f"--dagz-workers={value}")
    assert result.code == 4 and "--dagz-workers" in result.err and result.left == []


@pytest.mark.ways("plain", "dagz")
def test_the_marks_of_ours_are_strict_safe(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest
                @pytest.mark.dagz_main_worker
                def test_main(): pass
                @pytest.mark.dagz_node_mutex
                def test_alone(): pass
                @pytest.mark.dagz_resource("db", amount=1)
                @pytest.mark.dagz_always
                @pytest.mark.dagz_depends(path="x")
                def test_resource(): pass
            """
        }
    )
    if way == "dagz":
        result = s.run("--strict-markers")
        assert result.code == 0 and result.counts == {"passed": 3}
        (main,) = [r for r in result.reports if r.nodeid.endswith("test_main") and r.when == "call"]
        assert main.worker == "gw0"
