"""Hosts of a test's own: network namespaces on one switch, and ways to cut them off from each other.

    with netns.Net() as net:  # of IPv4; Net(6): of IPv6, without cut()
        a, b, store = net.host(), net.host(), net.host()
        subprocess.Popen(argv, preexec_fn=a.enter)  # or [*a.argv, *argv]
        net.cut(a, b)                               # what a sends to b is lost, without a word
        net.isolate(a, b)                           # these reach the store, but not each other

All of it lives in namespaces without names, the switch too, so that nothing on this machine collides with it.
Each is held by a process that waits for the end of a pipe of the test's; when the test ends, however that is,
the holder kills what still runs in its namespace and goes, and the kernel removes the rest.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
PATH = os.defpath + ":/usr/sbin:/sbin"
NOWHERE = "02:00:00:00:00:01"  # a card that nobody has
HOSTS_MAX = 250
LIBC = ctypes.CDLL(None, use_errno=True)


def refused() -> str:
    """Why there can be none of this here; "" if there can."""
    if os.geteuid() != 0:
        return "network namespaces are made by root"
    try:
        with Net() as net:
            net.host()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces here: {error}"
    return ""


class Space:
    """A network namespace, and the process that holds it."""

    def __init__(self) -> None:
        argv = [sys.executable, "-S", __file__, "hold"]
        self.holder = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env={"PATH": PATH}
        )
        assert self.holder.stdout
        if self.holder.stdout.readline() != b"ready\n":
            self.holder.wait()
            raise OSError("unshare: not permitted")
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Put the calling thread there; as `preexec_fn`, the process that is about to start."""
        if LIBC.setns(self.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    @property
    def argv(self) -> list[str]:
        """What stands before a command to have it run there."""
        return ["nsenter", f"--net={self.path}"]

    def ip(self, line: str, tool: str = "ip") -> None:
        env = {"PATH": PATH}
        subprocess.run([tool, *line.split()], preexec_fn=self.enter, env=env, check=True, timeout=20)

    def set(self, setting: str) -> None:
        """Of the kernel, as sysctl names it: "net.ipv4.ip_forward=1"."""
        name, _, value = setting.partition("=")
        script = f"echo '{value}' > /proc/sys/{name.replace('.', '/')}"
        subprocess.run(["/bin/sh", "-c", script], preexec_fn=self.enter, check=True, timeout=20)

    def close(self) -> None:
        """Whoever still runs there is killed."""
        assert self.holder.stdin and self.holder.stdout
        self.holder.stdin.close()
        self.holder.wait(20)
        self.holder.stdout.close()
        os.close(self.fd)


@dataclass(eq=False)
class Host:
    space: Space
    number: int
    version: int  # of the internet protocol

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}" if self.version == 4 else f"fd77::{self.number:x}"

    @property
    def netloc(self) -> str:
        """The address as it stands in a URL."""
        return self.address if self.version == 4 else f"[{self.address}]"

    @property
    def port(self) -> str:
        """Of the switch, where this host is plugged in."""
        return f"p{self.number}"

    @property
    def argv(self) -> list[str]:
        return self.space.argv

    def enter(self) -> None:
        self.space.enter()


class Net:
    """A switch and the hosts on it."""

    def __init__(self, version: int = 4) -> None:
        self.version = version
        self.hosts: list[Host] = []
        self.switch = Space()
        self.switch.ip("link add br0 type bridge")
        self.switch.ip("link set br0 up")

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def host(self) -> Host:
        assert len(self.hosts) < HOSTS_MAX
        host = Host(Space(), len(self.hosts) + 1, self.version)
        self.hosts.append(host)
        self.switch.ip(f"link add {host.port} type veth peer name eth0 netns {host.space.holder.pid}")
        self.switch.ip(f"link set {host.port} master br0 up")
        host.space.ip("link set lo up")
        if self.version == 4:
            host.space.ip(f"addr add {host.address}/24 dev eth0")
        else:
            host.space.ip(f"addr add {host.address}/64 dev eth0 nodad")
        host.space.ip("link set eth0 up")
        return host

    def cut(self, sender: Host, receiver: Host) -> None:
        """One way: what `sender` sends to `receiver` is lost; the other direction works."""
        sender.space.ip(f"neigh replace {receiver.address} lladdr {NOWHERE} dev eth0 nud permanent")

    def mend(self, sender: Host, receiver: Host) -> None:
        sender.space.ip(f"neigh del {receiver.address} dev eth0")

    def part(self, one: Host, other: Host) -> None:
        """Both ways."""
        self.cut(one, other)
        self.cut(other, one)

    def join(self, one: Host, other: Host) -> None:
        self.mend(one, other)
        self.mend(other, one)

    def isolate(self, *hosts: Host, is_on: bool = True) -> None:
        """From now on (or, is_on=False, no longer) these do not reach each other, only the rest."""
        for host in hosts:
            self.switch.ip(f"link set dev {host.port} isolated {'on' if is_on else 'off'}", "bridge")

    def unplug(self, host: Host, is_on: bool = True) -> None:
        """From now on (or, is_on=False, no longer) the host reaches nobody, and nobody it."""
        self.switch.ip(f"link set {host.port} {'down' if is_on else 'up'}")

    def lead_through(self, router: Host, hosts: list[Host]) -> None:
        """What these send to each other goes to `router` from now on; cut() has no effect between them."""
        for host in hosts:
            for other in hosts:
                if other is not host:
                    host.space.ip(f"route add {other.address}/32 via {router.address}")

    def close(self) -> None:
        for host in self.hosts:
            host.space.close()
        self.switch.close()


# ---------------------------------------------------------------- the holder


def others_here() -> list[int]:
    """Processes of this namespace, but this one."""
    mine = os.stat("/proc/self/ns/net").st_ino
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_other = entry.name.isdigit() and int(entry.name) != os.getpid()
            if is_other and (entry / "ns/net").stat().st_ino == mine:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def hold() -> int:
    if LIBC.unshare(CLONE_NEWNET) != 0:
        return 1
    os.write(1, b"ready\n")
    os.read(0, 1)
    while pids := others_here():  # also those that were forked meanwhile
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    return 0


if __name__ == "__main__":
    sys.exit(hold())
