"""zb asks a server: the same words as from the store's own files, and clear ones when it cannot."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time

import pytest
from zb_place import FILL, TIMEOUT_S, ZB


@pytest.fixture
def server(place):
    """A daemon over the home of `place`; afterwards `place` has another home, and knows the URL."""
    place.fill("mixed", "passed")
    (place.home / "local.env").mkdir(exist_ok=True)
    (place.home / "local.env/daemon.yaml").write_text("port: 0\n")
    assert place.zb("daemon", "up", "--bg").returncode == 0
    place.url = (place.home / "local.env/daemon.url").read_text().strip()
    yield place
    assert place.zb("daemon", "down").returncode == 0


def elsewhere(place, *args: str) -> subprocess.CompletedProcess[str]:
    return place.zb(*args, DAGZ_HOME=str(place.home) + "-of-nobody", DAGZ_URL=place.url)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_server_says_what_the_store_says(server, form):
    for args in (
        ["jobs"], ["jobs", "--all"], ["jobs", "-n", "1"], ["job", "j1"], ["job", "HEAD"], ["job", "@{-1}", "-e"],
        ["tests", "j1", "outcome:failed"], ["tests", "j1", "--text"], ["tests", "j1", "--sort=duration"],
        ["tests", "j1", "-n", "2", "not:api"], ["logs", "j1"], ["logs", "j1", "--failed"], ["logs", "j1", "-f"],
        ["logs", "j1", "--worker=agent"], ["logs", "j1", "--tail=2"],
        ["span-logs", "j1", "tests/test_api.py::TestGet::test_found"], ["export", "j1"], ["watch", "j1"],
    ):  # fmt: skip
        here, there = server.zb(*args, *form), elsewhere(server, *args, *form)
        if args[0] == "watch" and form:  # tells the time
            continue
        assert (there.returncode, there.stdout) == (here.returncode, here.stdout), args
        assert there.stderr == here.stderr


def test_mistakes_are_answered_as_by_the_store(server):
    for code, *args in (
        (5, "job", "j9"), (5, "job", "feature"), (2, "logs", "j1", "-w", "w0"),
        (5, "logs", "j1", "--test=tests/test_api.py::TestGte::test_found"), (2, "tests", "j1", "outcome:odd"),
        (5, "span-logs", "j1", "test_foun"), (5, "span-logs", "j1", "ffffffffff"),
    ):  # fmt: skip
        here, there = server.zb(*args), elsewhere(server, *args)
        assert (there.returncode, there.stderr) == (code, here.stderr)


def test_a_token_that_is_not_there_is_no_empty_store(server):
    done = server.zb("jobs", DAGZ_HOME="/no", DAGZ_URL=server.url, DAGZ_TOKEN_FILE="/no/token")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/no/token" in done.stderr and done.stderr.count("\n") == 1


def test_certificates_that_are_not_there_are_named(server):
    url = server.url.replace("http:", "https:")
    done = server.zb("jobs", DAGZ_HOME="/no", DAGZ_URL=url, SSL_CERT_FILE="/no/cert.pem")
    assert (done.returncode, done.stdout) == (3, "")
    line = (
        f"the store at {url} does not answer: SSL_CERT_FILE: no certificate can be read from '/no/cert.pem'"
    )
    assert done.stderr == f"zb jobs: {line}\n"


def test_a_running_job_is_followed_from_afar(server):
    job = subprocess.Popen(
        [FILL, server.home, server.dir, "running"],
        env=server.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    job.stdin.write("first\n")
    deadline = time.monotonic() + TIMEOUT_S
    while "first" not in elsewhere(server, "logs").stdout:
        assert time.monotonic() < deadline
    env = server.env | {"DAGZ_HOME": str(server.home) + "-of-nobody", "DAGZ_URL": server.url}
    follower = subprocess.Popen(
        [ZB, "logs", "-f"], cwd=server.dir, env=env, stdout=subprocess.PIPE, text=True
    )
    seen = ""
    while "first" not in seen:
        seen += follower.stdout.readline()
    job.stdin.write("second\n")
    while "second" not in seen:
        seen += follower.stdout.readline()
    job.stdin.write("twice\ntwice\n")
    job.stdin.close()
    assert job.wait(TIMEOUT_S) == 0
    seen += follower.communicate(timeout=TIMEOUT_S)[0]
    words = [word for word in seen.split() if word in ("first", "second", "twice")]
    assert words == ["first", "second", "twice", "twice"]


@pytest.mark.parametrize("where", ["here", "afar"])
def test_what_a_test_printed_before_it_failed_is_followed(server, where):
    """It is chosen by what became of it, which is not known when it prints."""
    job = subprocess.Popen(
        [FILL, server.home, server.dir, "running"],
        env=server.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert job.stdout.readline()  # its long id
    for line in ("first", "second"):
        job.stdin.write(line + "\n")
        assert job.stdout.readline() == "stored\n"
    afar = {"DAGZ_HOME": str(server.home) + "-of-nobody", "DAGZ_URL": server.url}
    env = server.env | (afar if where == "afar" else {})
    followers = [
        subprocess.Popen(
            [ZB, "logs", "-f", *more], cwd=server.dir, env=env, stdout=subprocess.PIPE, text=True
        )
        for more in ([], ["--failed"])
    ]
    seen = ["", ""]
    while "second" not in seen[0]:
        seen[0] += followers[0].stdout.readline()
    job.stdin.write("!fail\n")
    while "second" not in seen[1]:
        seen[1] += followers[1].stdout.readline()
    job.stdin.write("third\n")
    while "third" not in seen[1]:
        seen[1] += followers[1].stdout.readline()
    job.stdin.close()
    assert job.wait(TIMEOUT_S) == 0
    for text, follower in zip(seen, followers, strict=True):
        text += follower.communicate(timeout=TIMEOUT_S)[0]
        words = [word for word in text.split() if word in ("first", "second", "third")]
        assert words == ["first", "second", "third"]


def test_nobody_there_and_somebody_else_there_are_told(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        start = time.monotonic()
        assert place.refused(3, "jobs", DAGZ_URL=url).startswith(
            f"zb jobs: the store at {url} does not answer: "
        )
        assert time.monotonic() - start < 20
    assert place.refused(2, "jobs", "--url=nonsense").startswith("zb jobs: ")


def test_the_daemon_of_this_home_is_not_asked_but_its_store_is_read(server):
    done = server.zb("jobs", "--json", DAGZ_URL=server.url)
    assert len(json.loads(done.stdout)["jobs"]) == 2


def test_doctor_tells_who_answers(server):
    told = elsewhere(server, "doctor").stdout
    version = server.zb("version").stdout.split()[1]
    assert f"daemon       {version} answers at {server.url}" in told, told


def test_doctor_tells_another_version_and_what_is_no_store(place):
    answers = iter((b'{"status":"ok","version":"0.0.1"}', b"<html>"))

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = next(answers)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        assert f"0.0.1 answers at {url}, and this is " in place.zb("doctor", DAGZ_URL=url).stdout
        assert (
            f"what answers at {url} is no store: it answers with 200"
            in place.zb("doctor", DAGZ_URL=url).stdout
        )
        other.shutdown()
