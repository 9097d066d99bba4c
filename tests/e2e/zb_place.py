"""A project, a home, and the real ``zb`` on stores that were filled as an agent fills them.

``DAGZ_ZB`` names the binary; ``fill_store`` lies beside it.  What differs from run to run is masked:
clock times, long ids, the host, folders.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ZB = Path(os.environ.get("DAGZ_ZB", ROOT / "build/dev/bin/zb"))
FILL = ZB.parent / "fill_store"
TIMEOUT_S = 30


def on_terminal(columns: int, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """What zb writes to a terminal of that width."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([ZB, *args], cwd=cwd, env=env, stdin=side, stdout=side, stderr=side)
    os.close(side)
    seen = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # EIO: the last one closed it
            break
        if not piece:
            break
        seen += piece
    os.close(main)
    assert process.wait(TIMEOUT_S) == 0
    return seen.decode().replace("\r\n", "\n")


class Place:
    """A project with a history of its own and a home of its own."""

    def __init__(self, tmp: Path) -> None:
        self.dir = tmp / "shop"
        self.home = tmp / "home"
        self.dir.mkdir()
        self.env = {
            "PATH": os.defpath,
            "HOME": str(tmp),
            "DAGZ_HOME": str(self.home),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "ZB_PAGER": "cat",
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
        }
        self.git("init", "-q", ".")
        self.git("remote", "add", "origin", "git@example.org:acme/shop.git")
        self.git("commit", "-q", "--allow-empty", "-m", "one")

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.dir, env=self.env, check=True)

    def fill(self, *scenarios: str) -> None:
        for scenario in scenarios:
            argv = [FILL, self.home, self.dir, *scenario.split()]
            subprocess.run(argv, env=self.env, check=True, capture_output=True, timeout=TIMEOUT_S)

    def zb(self, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ZB, *args],
            cwd=cwd or self.dir,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def out(self, *args: str, **env: str) -> str:
        """Masked stdout of a command that succeeds and says nothing on stderr."""
        done = self.zb(*args, **env)
        assert (done.returncode, done.stderr) == (0, "")
        return self.mask(done.stdout)

    def refused(self, code: int, *args: str, **env: str) -> str:
        """The masked one line of a command that fails with this exit code and prints nothing else."""
        done = self.zb(*args, **env)
        assert done.stdout == ""
        assert done.returncode == code, done.stderr
        return self.mask(done.stderr).removesuffix("\n")

    def mask(self, text: str) -> str:
        text = text.replace(str(self.dir), "DIR").replace(str(self.home), "HOME")
        text = text.replace(os.uname().nodename, "HOST")
        text = re.sub(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "ULID", text)
        text = re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "HH:MM:SS.mmm", text)
        text = re.sub(r"(today|yesterday) \d\d:\d\d", r"today HH:MM", text)
        return re.sub(r"\b[0-9a-f]{12}\b", "HEX", re.sub(r"\b[0-9a-f]{8}\b", "HEX", text))

    def on_terminal(self, columns: int, *args: str, **env: str) -> str:
        """What the command writes to a terminal of that width."""
        return on_terminal(columns, args, self.dir, self.env | env)
