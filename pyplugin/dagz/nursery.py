"""The half of seed and zygote that forks on the agent's word, reaps, and passes channels on.

A nursery has a channel to the agent, a life-line to its own parent, and one life-line to each child.
When the agent dies the parent passes a new channel along its life-line; the nursery then gives every
living child a new channel to the new agent too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import os
import select
import signal
import socket
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dagz import _dagz

if TYPE_CHECKING:
    from collections.abc import Callable

NEW_CHANNEL = b"channel"
GO_ON = b"go on"
LEFTOVER_NAME_MAX = 200


@dataclasses.dataclass
class Birth:
    """What a forked child is, and the descriptors that are its own."""

    kind: int
    num: int
    life: int
    channel: _dagz.Channel | None  # zygote, solo
    link: _dagz.Link | None  # worker, solo
    budgets: dict[str, int]  # of resources, see marks.py; for who collects


@dataclasses.dataclass
class Kid:
    pid: int
    kind: int
    num: int
    token: int  # the agent's name for this child's life
    life: int  # our end of its life-line
    link: _dagz.Link | None  # owns the life-line where there is one

    def close(self) -> None:
        if self.link is None:
            close_quietly(self.life)
        self.link = None


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_signals() -> None:
    """Signals to the whole group are the controller's to handle; seed and zygote end by EOF."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def obey_signals() -> None:
    """In a worker, what the seed ignored is as in any process again."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


def close_quietly(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


def receive_channel(life: int) -> int | None:
    """The descriptor in the next packet of a life-line; None without one.  EOFError: parent gone."""
    with socket.socket(fileno=os.dup(life)) as line:
        packet, fds, _, _ = socket.recv_fds(line, 64, 1)
    if not packet and not fds:
        raise EOFError
    return fds[0] if fds else None


def send_channel(life: int, fd: int) -> None:
    with socket.socket(fileno=os.dup(life)) as line:
        socket.send_fds(line, [NEW_CHANNEL], [fd], socket.MSG_NOSIGNAL)


def go_on(life: int) -> None:
    """Tell a seed that waits to begin."""
    with socket.socket(fileno=os.dup(life)) as line, contextlib.suppress(OSError):
        line.send(GO_ON, socket.MSG_NOSIGNAL)


def is_told_to_go_on(life: int) -> bool:
    """Wait for :func:`go_on`; False: the controller does without this seed, or is gone."""
    with socket.socket(fileno=os.dup(life)) as line:
        return line.recv(len(GO_ON)) == GO_ON


def process_name(pid: int) -> str:
    """Command line of a process, for people."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        text = b" ".join(words).decode(errors="replace")
        if text:
            return f"{text[:LEFTOVER_NAME_MAX]} (pid {pid})"
    with contextlib.suppress(OSError):
        return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
    return f"pid {pid}"


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def group_members(group: int) -> list[int]:
    """Living processes of a process group, zombies left out."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                members.append(int(entry))
    return members


class Nursery:
    """Forks and reaps.  One thread; :meth:`serve` is its loop."""

    def __init__(
        self,
        channel: _dagz.Channel,
        life: int,
        on_channel: Callable[[_dagz.Channel], None] = lambda channel: None,
    ) -> None:
        """on_channel: called with the channel to a new agent, before children are introduced to it."""
        self.channel: _dagz.Channel | None = channel
        self.life = life
        self.on_channel = on_channel
        self.kids: dict[int, Kid] = {}
        self.quit = False
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.old_wakeup = signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        _dagz.set_subreaper()

    def serve(self) -> Birth | None:
        """Until the agent says quit and the last child is gone: None.  In a child: its birth.

        EOFError when nobody is left who could speak to us.
        """
        while not (self.quit and not self.kids):
            for event in self.wait():
                birth = self.handle(event)
                if birth is not None:
                    return birth
            self.reap()
        return None

    def wait(self) -> list[tuple]:
        """Messages of the agent; life-line and signals are dealt with here."""
        poll = select.poll()
        poll.register(self.wake_read, select.POLLIN)
        if self.life >= 0:
            poll.register(self.life, select.POLLIN)
        if self.channel is not None:
            poll.register(self.channel.fileno(), select.POLLIN)
        elif self.life < 0:
            raise EOFError("agent and parent are gone")
        ready = {fd for fd, _ in poll.poll()}
        if self.wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake_read, 512)
        if self.life in ready:
            self.read_life()
        if self.channel is not None and self.channel.fileno() in ready:
            try:
                return self.channel.recv(0)
            except EOFError:
                self.channel = None
        return []

    def read_life(self) -> None:
        try:
            fd = receive_channel(self.life)
        except (EOFError, OSError):
            close_quietly(self.life)
            self.life = -1
            return
        if fd is not None:
            self.channel = _dagz.Channel(fd)
            with contextlib.suppress(OSError):
                self.on_channel(self.channel)
            for kid in self.kids.values():
                self.introduce(kid)

    def introduce(self, kid: Kid) -> None:
        """Give a living child a channel to the new agent, and tell the agent of the child."""
        ours, theirs = socket.socketpair()
        with ours, theirs, contextlib.suppress(OSError):
            send_channel(kid.life, theirs.fileno())
            fds = (ours.fileno(), *kid.link.born_fds()[1:]) if kid.link else (ours.fileno(),)
            self.say("born", kid.kind, kid.num, kid.token, kid.pid, fds=fds)

    def say(self, *message: object, fds: tuple[int, ...] = ()) -> None:
        """To the agent; a dead one is noticed by :meth:`wait`."""
        if self.channel is not None:
            with contextlib.suppress(OSError):
                self.channel.send(*message, fds=fds)

    def handle(self, event: tuple) -> Birth | None:
        name = event[0]
        if name == "fork":
            return self.fork(*event[1:])
        if name == "quit":
            self.quit = True
            if event[1]:
                for kid in self.kids.values():
                    kill_group(kid.pid)
        return None

    # ------------------------------------------------------------ forking

    def fork(self, kind: int, num: int, token: int, budgets: list[tuple[str, int]]) -> Birth | None:
        link = channel = theirs = None
        if kind == _dagz.FORK_ZYGOTE:
            ours, theirs = socket.socketpair()
            life, child_life = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            lines = (life.detach(), child_life.detach())
            channel = ours.detach()
        else:
            link = _dagz.Link(num)
            lines = (link.life_parent, link.life)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # told once, with the threads' names
            pid = os.fork()
        if pid == 0:
            if channel is not None:
                os.close(lines[0])
                os.close(channel)
            return self.become_child(kind, num, lines[1], link, theirs, dict(budgets))
        if link is None:
            assert theirs is not None and channel is not None
            os.close(lines[1])
            theirs.close()
            self.say("born", kind, num, token, pid, fds=(channel,))
            os.close(channel)
        else:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)  # the child does the same: whoever comes first
            self.say("born", kind, num, token, pid, fds=link.born_fds())
            link.keep_parent()
        self.kids[pid] = Kid(pid, kind, num, token, lines[0], link)
        return None

    def become_child(
        self,
        kind: int,
        num: int,
        life: int,
        link: _dagz.Link | None,
        sock: socket.socket | None,
        budgets: dict[str, int],
    ) -> Birth:
        """In the child: drop everything that was the parent's."""
        signal.set_wakeup_fd(self.old_wakeup)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self.wake_read, self.wake_write, self.life):
            if fd >= 0:
                close_quietly(fd)
        if self.channel is not None:
            self.channel.close()
        for kid in self.kids.values():
            kid.close()
        self.kids.clear()
        channel = None
        if sock is not None:
            channel = _dagz.Channel(sock.detach())
        if link is not None:
            link.keep_worker()
            if kind == _dagz.FORK_SOLO:
                channel = _dagz.Channel(os.dup(link.sock))
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            _dagz.set_pdeathsig(signal.SIGKILL)
        return Birth(kind, num, life, channel, link, budgets)

    # ------------------------------------------------------------ reaping

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            kid = self.kids.pop(pid, None)
            if kid is None:
                continue  # an orphan that came to us and ended by itself
            kid.close()
            leftovers = self.end_leftovers(kid) if kid.kind != _dagz.FORK_ZYGOTE else ""
            self.say("died", pid, status, leftovers)

    def end_leftovers(self, kid: Kid) -> str:
        """End what the worker's tests left behind; names, one a line."""
        mark = b"DAGZ_WORKER_PID=%d\0" % kid.pid
        left = set(group_members(kid.pid))
        for pid in children_of(os.getpid()):
            if pid not in self.kids and mark in environment_of(pid) + b"\0":
                left.add(pid)
        names = []
        for pid in sorted(left):
            names.append(process_name(pid))
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return "\n".join(names)

    def close(self) -> None:
        signal.set_wakeup_fd(self.old_wakeup)
        for fd in (self.wake_read, self.wake_write):
            close_quietly(fd)


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def freeze_heap(is_shared: bool = False) -> None:
    """Keep what was collected out of every later collection: pages stay shared with the parent.

    is_shared: this process shares pages with its own parent, so older objects are left in peace.
    """
    gc.collect(1 if is_shared else 2)
    _dagz.trim_heap()
    gc.freeze()


def let_gc_see_frozen_heap() -> None:
    """Who asks gc for objects is told of frozen ones as well, as in plain pytest."""
    for name in ("get_objects", "get_referrers"):
        setattr(gc, name, _dagz.thawing((gc.unfreeze, getattr(gc, name))))


def has_files_open_for_writing() -> bool:
    """Whether this process holds a named regular file that it may still write to."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            path = os.readlink(f"/proc/self/fd/{name}")
            if int(name) < 3 or not path.startswith("/") or path.endswith(" (deleted)"):
                continue
            flags = int(Path(f"/proc/self/fdinfo/{name}").read_text().split("flags:")[1].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY and os.path.isfile(path):
                return True
    return False


def flush_open_files() -> None:
    """What Python buffered for files that stay open is written, as the interpreter's own end would."""
    if not has_files_open_for_writing():
        return
    gc.unfreeze()
    for thing in gc.get_objects():
        if isinstance(thing, (io.TextIOWrapper, io.BufferedWriter)):
            with contextlib.suppress(Exception):
                thing.flush()


def leave(code: int, channel: _dagz.Channel | None = None) -> None:
    """End this fork at once: the parent's atexit and buffers are not ours to run.

    channel: closed when everything is said, before the process ends.
    """
    import sys

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if channel is not None:
        channel.close()
    os._exit(code)


def live_as_seed(channel: _dagz.Channel, life: int, waits: bool = False) -> Birth:
    """The seed's whole life; returns only in a process that it forked.

    waits: it may not be wanted, see share.py; until it is told to go on the channel is not touched.
    """
    ignore_signals()
    os.environ.pop("DAGZ_TOKEN", None)  # the tests' processes need no key to the store
    _dagz.wipe_env("DAGZ_TOKEN")
    if waits and not is_told_to_go_on(life):
        os._exit(0)
    nursery = Nursery(channel, life)
    code = 0
    try:
        birth = nursery.serve()
        if birth is not None:
            return birth
    except EOFError:
        code = 1
        for kid in nursery.kids.values():
            kill_group(kid.pid)
    os._exit(code)
