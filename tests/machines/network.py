"""Hosts of their own on one machine: a network namespace each, and wires between them that can be pulled.

What belongs here: namespaces, wires, and processes on a host. What does not: what runs there (`exchange`, `worker`).

A pulled wire says nothing to either side: no packet comes through, and nobody is told. All hosts see the same disk, as
with a shared folder. Only root can make them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import which
from time import monotonic

ANSWER_SECONDS = 20
_NUMBERS = count(1)


def missing() -> str:
    """Why there can be no hosts here; empty where there can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if which("ip") is None:
        return "there is no command ip; install Debian's package iproute2"
    try:
        with hosts(["probe"]):
            return ""
    except RuntimeError as refused:
        return f"no network namespace can be made here: {refused}"


class Wire:
    """A pair of interfaces between two hosts, with an address at either end."""

    def __init__(self, one: Host, other: Host) -> None:
        self._one, self._other = one, other
        number = next(_NUMBERS)
        self._name = f"w{number}"
        self.address = f"10.77.{number}.1"
        """That of the first host, as the second one reaches it."""
        _ip("link", "add", self._name, "netns", one.name, "type", "veth", "peer", self._name, "netns", other.name)
        for host, last in ((one, 1), (other, 2)):
            _ip("-n", host.name, "address", "add", f"10.77.{number}.{last}/30", "dev", self._name)
            _ip("-n", host.name, "link", "set", self._name, "up")

    def pull(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        _ip("-n", self._one.name, "link", "set", self._name, "down")

    def mend(self) -> None:
        """Plug it in; when it returns the first host answers. A question from the time before would fail yet."""
        _ip("-n", self._one.name, "link", "set", self._name, "up")
        deadline = monotonic() + ANSWER_SECONDS
        while "lladdr" not in self._neighbour():
            assert monotonic() < deadline, f"{self.address} does not answer"

    def _neighbour(self) -> str:
        """What the second host knows of the first one, after it has sent it something."""
        ask = [*self._other.enter, "bash", "-c", f"echo > /dev/udp/{self.address}/9; sleep 0.1"]
        subprocess.run(ask, check=False, capture_output=True)
        return _ip("-n", self._other.name, "neighbour", "show", self.address, "dev", self._name)


class Host:
    """A host: its own interfaces and loopback, the disk of this machine."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command that is to run on the host."""
        return ("ip", "netns", "exec", self.name)

    def start(self, module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
        """A Python module as a process of the host, which is spoken with by lines."""
        with log.open("a") as stream:
            return subprocess.Popen(
                [*self.enter, sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            )


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """New hosts, without wires. They end with the block; their processes are the caller's to end."""
    made = [Host(f"scizor-{os.getpid()}-{name}") for name in names]
    try:
        for host in made:
            _ip("netns", "add", host.name)
            _ip("-n", host.name, "link", "set", "lo", "up")
        yield made
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
