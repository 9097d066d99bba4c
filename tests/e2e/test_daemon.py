"""The life of the daemon: one for a home, ready when it says so, and one clear line for everything else."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_place import (
    SOON_S,
    DaemonPlace,
    ask_on,
    ended,
    foreground,
    is_running,
    make_certificate,
    wait_for,
)
from zb_place import ROOT, ZB


@pytest.fixture
def place(tmp_path: Path) -> Iterator[DaemonPlace]:
    place = DaemonPlace(tmp_path)
    yield place
    place.down()


def test_up_returns_when_it_answers_and_down_when_it_is_gone(place: DaemonPlace) -> None:
    place.up()
    assert place.ask("/healthz").json()["status"] == "ok"
    pid = place.pid()
    assert place.zb("daemon", "status").stdout == f"daemon: pid {pid}, {place.url()}\n"
    assert place.zb("daemon", "down").stdout == "the daemon has ended\n"
    assert not is_running(pid)
    status = place.zb("daemon", "status")
    assert (status.returncode, status.stdout) == (3, "no daemon is running\n")
    assert sorted(p.name for p in (place.home / "local.env").iterdir()) == [
        "daemon.log",
        "daemon.yaml",
        "store",
    ]


def test_up_and_down_may_be_said_again(place: DaemonPlace) -> None:
    place.up()
    pid = place.pid()
    again = place.zb("daemon", "up", "--bg")
    assert (again.returncode, again.stdout) == (0, f"daemon: pid {pid}, {place.url()} is up already\n")
    assert place.zb("daemon", "up").stdout == again.stdout
    place.down()
    done = place.zb("daemon", "down")
    assert (done.returncode, done.stdout) == (0, "no daemon is running\n")


def test_restart_ends_the_one_that_runs(place: DaemonPlace) -> None:
    place.up()
    before = place.pid()
    place.up("--restart")
    assert not is_running(before)
    assert place.pid() != before
    assert place.ask("/healthz").status == 200


def test_in_the_foreground_it_ends_by_a_signal(place: DaemonPlace) -> None:
    place.settings("port: 0\n")
    for by in (signal.SIGTERM, signal.SIGINT):
        process = foreground(place)
        assert process.stdout
        line = process.stdout.readline()
        assert line == f"the daemon answers at {place.url()} (Ctrl-C ends it)\n"
        assert place.ask("/healthz").status == 200
        assert ended(process, by) == (0, "", "")


def test_one_that_was_killed_leaves_nothing_that_stops_the_next(place: DaemonPlace) -> None:
    place.up()
    killed = place.pid()
    os.kill(killed, signal.SIGKILL)
    wait_for("death", lambda: "no daemon" in place.zb("daemon", "status").stdout)
    assert place.pid() == killed  # the stale file
    place.up()
    assert place.ask("/healthz").status == 200


def test_one_that_is_stopped_does_not_answer(place: DaemonPlace) -> None:
    place.up()
    os.kill(place.pid(), signal.SIGSTOP)
    status = place.zb("daemon", "status")
    assert status.returncode == 3
    assert status.stdout.startswith(f"daemon: pid {place.pid()}, {place.url()}, but it does not answer: ")
    assert status.stdout.count("\n") == 1
    late = place.refused(7, "daemon", "down", "--wait=1")
    assert late == f"zb daemon: pid {place.pid()} has not ended after 1 s"
    os.kill(place.pid(), signal.SIGCONT)
    wait_for("its end", lambda: place.zb("daemon", "status").stdout == "no daemon is running\n")


def test_data_may_lie_elsewhere_for_daemon_and_runs_alike(place: DaemonPlace, tmp_path: Path) -> None:
    place.settings(f"port: 0\ndata_dir: {tmp_path}/data\n")
    place.fill("passed")
    place.up()
    assert len(place.ask("/api/v1/jobs").json()["jobs"]) == 1
    assert (tmp_path / "data/data.mdb").exists()
    assert not (place.home / "local.env/store").exists()
    place.down()
    assert "passed" in place.zb("jobs").stdout


def test_of_many_that_start_at_once_one_runs(place: DaemonPlace) -> None:
    place.settings("port: 0\n")
    several = [foreground(place) for _ in range(5)]
    wait_for("one is up", lambda: place.zb("daemon", "status").stdout.count("http"))
    wait_for("the others end", lambda: sum(p.poll() is None for p in several) == 1)
    for process in several:
        if process.poll() is None:
            assert ended(process, signal.SIGTERM)[0] == 0
        else:
            out, err = process.communicate()
            assert "daemon: pid" in out or "a daemon is running already: pid" in err


def test_a_port_that_is_taken_is_named(place: DaemonPlace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        place.settings(f"port: {port}\n")
        taken = f"port {port} of 127.0.0.1 is taken by another program; choose another with 'port:'"
        assert (
            place.refused(1, "daemon", "up", "--bg") == f"zb daemon: HOME/local.env/daemon.yaml:1:7: {taken}"
        )
    place.up()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prt: 1\n", "HOME/local.env/daemon.yaml:1:1: unknown key 'prt'; did you mean 'port'?"),
        ("port: x\n", "HOME/local.env/daemon.yaml:1:7: 'port' must be a whole number, not 'x'"),
        (
            "listen: [nowhere]\n",
            "HOME/local.env/daemon.yaml:1:10: 'listen' must be addresses such as 127.0.0.1 or ::1, not 'nowhere'",
        ),
        ("port: 0\nlisten: [192.0.2.1]\n", None),
        (
            "port: 0\nlisten: [127.0.0.1, 127.0.0.1]\n",
            "HOME/local.env/daemon.yaml:2:21: listen: 127.0.0.1 is there twice",
        ),
        (
            "port: 0\nlisten:\n- '::1'\n- 0:0:0:0:0:0:0:1\n",
            "HOME/local.env/daemon.yaml:4:3: listen: 0:0:0:0:0:0:0:1 is there twice",
        ),
        ("storage: postgresql://x/y\n", None),
        (
            "port: 0\ntokens: tokns\n",
            "HOME/local.env/daemon.yaml:2:9: there is no 'HOME/local.env/tokns'",
        ),
        (
            "port: 0\ntokens: daemon.yaml\n",
            "HOME/local.env/daemon.yaml:2:9: others may read 'HOME/local.env/daemon.yaml': chmod 600 it",
        ),
        (
            "port: 0\ntls: {key: k.pem, cert: c.pem}\n",
            "HOME/local.env/daemon.yaml:2:25: there is no 'HOME/local.env/c.pem'",
        ),
        (
            "port: 0\ntls: {key: k.pem, cert: daemon.yaml}\n",
            "HOME/local.env/daemon.yaml:2:25: there is no certificate in 'HOME/local.env/daemon.yaml'",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(place: DaemonPlace, text: str, line: str | None) -> None:
    place.settings(text)
    done = place.zb("daemon", "up", "--bg")
    assert done.returncode in (2, 4), done.stderr
    assert done.stdout == ""
    file = "HOME/local.env/daemon.yaml"
    said = re.sub(
        r"^zb daemon: \.\.\.\S*/local\.env/daemon\.yaml:", f"zb daemon: {file}:", place.mask(done.stderr)
    )
    assert said.startswith(f"zb daemon: {file}:")  # of a long path, its end
    assert done.stderr.count("\n") == 1
    if line:
        assert said == f"zb daemon: {line}\n"


def test_what_is_wrong_with_a_default_is_told_as_one(place: DaemonPlace) -> None:
    place.settings("port: 0\n")
    place.tokens("short *\n")
    assert place.refused(2, "daemon", "up", "--bg") == (
        "zb daemon: HOME/local.env/tokens:1:1: a token has at least 16 characters"
        " (the default: 'tokens' is not set in daemon.yaml)"
    )


def test_a_certificate_is_looked_at_although_no_address_needs_it(place: DaemonPlace, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")[1]
    place.settings(f"port: 0\ntls:\n  cert: {cert}\n  key: {cert}\n")
    line = "zb daemon: HOME/local.env/daemon.yaml:"
    assert place.refused(4, "daemon", "up", "--bg") == f"{line}4:8: there is no private key in '{cert}'"
    place.settings(f"port: 0\ntls:\n  cert: {cert}\n  key: {other}\n")
    does_not_fit = "the certificate does not fit its key, or one of them is damaged"
    assert place.refused(4, "daemon", "up", "--bg") == f"{line}3:9: {does_not_fit}"
    place.settings(f"port: 0\ntls:\n  cert: {cert}\n  key: {key}\n")
    place.up()
    assert place.url().startswith("http://127.0.0.1:")


def test_data_that_cannot_lie_where_they_should_are_told_with_the_place(place: DaemonPlace) -> None:
    (place.dir / "file").write_text("")
    place.settings(f"port: 0\ndata_dir: {place.dir}/file\n")
    line = "zb daemon: HOME/local.env/daemon.yaml:2:11: open 'DIR/file': Not a directory"
    assert place.refused(3, "daemon", "up", "--bg") == line


def test_beyond_this_machine_it_wants_tls_and_tokens(place: DaemonPlace, tmp_path: Path) -> None:
    place.settings("port: 0\nlisten: [127.0.0.1, 0.0.0.0]\n")
    reachable = "0.0.0.0 is reachable from other machines, which needs TLS and tokens: "
    line = f"zb daemon: HOME/local.env/daemon.yaml:2:21: {reachable}"
    assert place.refused(4, "daemon", "up", "--bg") == line + "'tls: {cert: ..., key: ...}' is not set"
    cert, key = make_certificate(tmp_path)
    place.settings(f"port: 0\nlisten: [0.0.0.0]\ntls: {{cert: {cert}, key: {key}}}\n")
    line = f"/local.env/daemon.yaml:2:10: {reachable}there is no token in HOME/local.env/tokens"
    assert place.refused(4, "daemon", "up", "--bg").endswith(line)


@pytest.mark.parametrize(
    ("public", "name"),
    [("", "localhost"), ("public_url: https://127.0.0.2:1/dagz\n", "127.0.0.2")],
    ids=["no-name", "public-name"],
)
def test_all_addresses_are_announced_by_a_name_that_a_certificate_can_have(
    place: DaemonPlace, tmp_path: Path, public: str, name: str
) -> None:
    cert, key = make_certificate(tmp_path, "127.0.0.2")
    place.settings(f"port: 0\nlisten: [0.0.0.0]\ntls: {{cert: {cert}, key: {key}}}\n{public}")
    place.tokens("0123456789abcdef *\n")
    place.up()
    host, port = place.address()
    assert host == name
    connection = http.client.HTTPSConnection(
        host, port, timeout=SOON_S, context=ssl.create_default_context(cafile=str(cert))
    )
    assert ask_on(connection, "/healthz").status == 200


def test_an_address_within_another_is_named(place: DaemonPlace, tmp_path: Path) -> None:
    """Not called a port that another program has taken."""
    cert, key = make_certificate(tmp_path)
    place.settings(f"port: 0\nlisten: [127.0.0.1, '::', 0.0.0.0]\ntls: {{cert: {cert}, key: {key}}}\n")
    place.tokens("0123456789abcdef *\n")
    place_of = "HOME/local.env/daemon.yaml:2:27"
    line = f"zb daemon: {place_of}: listen: 0.0.0.0 takes in 127.0.0.1: leave out one of them"
    assert place.refused(2, "daemon", "up", "--bg") == line


def test_a_bridge_that_is_not_there_is_named(place: DaemonPlace) -> None:
    if Path("/sys/class/net/docker0").exists():
        pytest.skip("this machine has one")
    place.settings("port: 0\nlisten_on_docker_bridge: true\n")
    line = "zb daemon: HOME/local.env/daemon.yaml:2:26: listen_on_docker_bridge: there is no bridge here"
    assert place.refused(4, "daemon", "up", "--bg").startswith(line)


def read_only(place: DaemonPlace, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that sees its home on a disk that nobody can write, and says one line."""
    if os.geteuid() == 0:
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        argv = ["unshare", "-m", "sh", "-c", script, place.home, *command]
        if subprocess.run([*argv[:6], "true"], capture_output=True, check=False).returncode:
            pytest.skip("no mounts here")
    else:
        argv = [*command]
        place.home.chmod(0o500)
    done = subprocess.run(
        argv, cwd=place.dir, env=place.env | env, capture_output=True, text=True, timeout=60, check=False
    )
    place.home.chmod(0o700)
    return done


REASON = r"(Read-only file system|Permission denied)\n"


def test_a_home_that_cannot_be_written_is_named(place: DaemonPlace) -> None:
    place.home.mkdir()
    done = read_only(place, ZB, "daemon", "up", "--bg")
    assert done.returncode == 4
    assert re.fullmatch(f"zb daemon: write '{place.home}/local.env': {REASON}", done.stderr)


def lay_down(place: DaemonPlace, version: str) -> None:
    """The store of an earlier dagz."""
    folder = place.home / "local.env/store"
    folder.mkdir(parents=True)
    if not shutil.which("zstd"):
        pytest.skip("no zstd here")
    packed = ROOT / f"tests/unit/store/{version}.mdb.zst"
    subprocess.run(["zstd", "-qd", packed, "-o", folder / "data.mdb"], check=True)


def test_old_data_that_cannot_be_brought_forward_say_why(place: DaemonPlace) -> None:
    lay_down(place, "version_1")
    done = read_only(place, ZB, "jobs", "--all")
    assert done.returncode == 6 and done.stdout == ""
    line = f"zb jobs: written by an older dagz, and not to be brought forward: open '{place.home}/local.env/store': "
    assert re.fullmatch(line + REASON, done.stderr), done.stderr


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_old_data_are_served(place: DaemonPlace, version: str) -> None:
    lay_down(place, version)
    place.up()
    shown = place.zb("jobs", "--all", "--url", place.url())
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("1 failed, 4 ok, 1 not run") == 2


def test_a_home_below_a_file_is_named(place: DaemonPlace) -> None:
    place.home.write_text("")
    done = place.zb("daemon", "up", "--bg")
    assert done.returncode == 3
    assert done.stderr.startswith("zb daemon: write '") and done.stderr.count("\n") == 1


def test_data_of_a_newer_version_are_left_alone(place: DaemonPlace) -> None:
    place.fill("newer")
    place.settings("port: 0\n")
    done = place.zb("daemon", "up", "--bg")
    assert done.returncode == 6
    assert done.stderr.count("\n") == 1 and "newer" in done.stderr


def test_its_log_is_shown_and_followed(place: DaemonPlace) -> None:
    assert "no daemon has run here yet" in place.refused(5, "daemon", "logs")
    place.up()
    assert [e["event"] for e in place.log()] == ["daemon.up"]
    assert place.zb("daemon", "logs", "-n", "1").stdout.count("daemon.up") == 1
    place.up("--restart")
    assert [e["event"] for e in place.log()] == ["daemon.up", "daemon.down", "daemon.up"]
    assert place.zb("daemon", "logs", "-n", "2").stdout.count("\n") == 2


def test_words_that_it_does_not_know(place: DaemonPlace) -> None:
    assert place.refused(2, "daemon", "pu") == "zb daemon: there is no 'pu'; did you mean 'up'?"
    assert "say up, down, status or logs" in place.refused(2, "daemon")
    assert "--wait is a whole number" in place.refused(2, "daemon", "up", "--wait=x").splitlines()[0]


def test_jobs_of_a_run_without_daemon_are_there_and_new_ones_appear(place: DaemonPlace) -> None:
    place.fill("mixed")
    place.up()
    assert len(place.ask("/api/v1/jobs").json()["jobs"]) == 1
    place.fill("passed")
    assert [j["verdict"] for j in place.ask("/api/v1/jobs").json()["jobs"]] == ["passed", "failed"]


def test_it_ends_although_clients_hold_streams_and_half_requests(place: DaemonPlace) -> None:
    place.up()
    streams = [place.events() for _ in range(20)]
    half = [place.connect() for _ in range(20)]
    for one in half:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
    done = place.zb("daemon", "down", "--wait", "10")
    assert (done.returncode, done.stdout) == (0, "the daemon has ended\n")
    assert place.log()[-1]["event"] == "daemon.down"
    for stream in streams:
        with pytest.raises(http.client.IncompleteRead):  # the end, not a reset
            stream.response.read()
        stream.close()
    for one in half:
        one.close()


IN_NAMESPACE = """
set -e
ip link set lo up
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
"$ZB" daemon up --bg
exec "$PYTHON" - <<'END'
import http.client, os, pathlib
url = (pathlib.Path(os.environ["DAGZ_HOME"]) / "local.env/daemon.url").read_text().strip()
port = int(url.rpartition(":")[2])
for host in ("172.17.0.1", "host.docker.internal", "localhost", "evil.example"):
    asked = http.client.HTTPConnection("172.17.0.1", port, timeout=20)
    asked.request("GET", "/api/v1/jobs", headers={"Host": f"{host}:{port}"})
    print(host, asked.getresponse().status)
END
"""


def test_containers_reach_it_by_the_bridge(place: DaemonPlace) -> None:
    """In a network namespace of its own, where a bridge is made."""
    unshare = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
    path = os.defpath + ":/usr/sbin:/sbin"
    if not shutil.which("ip", path=path) or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no network namespaces for this user")
    place.settings("port: 0\nlisten_on_docker_bridge: true\n")
    env = place.env | {"ZB": str(ZB), "PYTHON": sys.executable, "PATH": path}
    argv = [*unshare, "sh", "-c", IN_NAMESPACE]
    done = subprocess.run(
        argv, env=env, cwd=place.dir, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == [
        "172.17.0.1 200", "host.docker.internal 200", "localhost 200", "evil.example 421",
    ]  # fmt: skip


def test_a_client_that_dribbles_is_cut_off_and_others_are_answered(place: DaemonPlace) -> None:
    """A byte a second is never silent; its head is over the deadline of ten seconds nevertheless."""
    place.up()
    slow = [place.connect() for _ in range(50)]
    begun = time.monotonic()
    open_ones = set(range(50))
    while open_ones and time.monotonic() - begun < SOON_S:
        for at in sorted(open_ones):
            try:
                slow[at].sendall(b"G" if at % 2 else b"GET /healthz HTTP/1.1\r\nX: y\r\n")
                slow[at].settimeout(0.001)
                if not slow[at].recv(1024):
                    open_ones.discard(at)
            except TimeoutError:
                pass
            except OSError:
                open_ones.discard(at)
        assert place.ask("/healthz").status == 200
    assert not open_ones
    assert place.ask("/metrics").body.decode().count("dagz_http_dropped_total") == 3
    for one in slow:
        one.close()
