"""The services of the compose file as plain processes, each in a network and a file system of its own.

What Docker would do is done by hand: a bridge for each network of the file, a namespace for each service with an
address on its networks and no other way out, the names of those it shares a network with, a root file system that is
read-only, the mounts, the variables of the image and of the service, its command, and its health check. Needs root.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.proxied import DEPLOY, NAMES, ROOT, configured
from tests.deploy.test_dockerfile import last_stage
from tests.deploy.wire import Answer

WORLD = "world"
"""Stands outside, where the proxy is published."""
USER = 10001
VENV = Path(sys.prefix)
# Variables that a container does not have either.
_PASSED = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_DEFAULT = re.compile(r"\$\{([A-Z_]+)(?::?[-?]([^}]*))?\}")


class NoNamespaces(Exception):
    """This machine lends none."""


def run(*command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True, **options)


def filled_services() -> dict[str, dict[str, Any]]:
    """The file's services, with names and defaults filled in."""
    text = (DEPLOY / "docker-compose.yml").read_text(encoding="utf-8")
    filled = _DEFAULT.sub(lambda found: NAMES.get(found[1], found[2] or ""), text).replace("$$", "$")
    return dict(yaml.safe_load(filled)["services"])


def backup_of(command: list[str]) -> str:
    """The one backup within the loop that the service goes round in."""
    (found,) = re.findall(r"\bif (scizor backup [^;]*);", command[-1])
    return str(found).strip()


@dataclass(eq=False)
class Machine:
    """Everything of one compose file, below `folder`; `tag` keeps its names apart from another one's."""

    folder: Path
    tag: str
    bin: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        services = filled_services()
        return {name: service for name, service in services.items() if "profiles" not in service}

    @cached_property
    def addresses(self) -> dict[str, dict[str, str]]:
        """By network, of each service on it: where the file says none, the next one."""
        networks = sorted({network for service in self.services.values() for network in service["networks"]})
        found: dict[str, dict[str, str]] = {}
        for number, network in enumerate(networks):
            on_it = [name for name, service in self.services.items() if network in service["networks"]]
            found[network] = {}
            for place, name in enumerate(on_it, start=2):
                stated = self.services[name]["networks"]
                stated = stated[network].get("ipv4_address") if isinstance(stated, dict) else None
                found[network][name] = stated or f"10.199.{number}.{place}"
        found["edge"][WORLD] = found["edge"]["proxy"].rpartition(".")[0] + ".200"
        return found

    def namespace(self, name: str) -> str:
        return f"scz{self.tag}-{name}"

    def connect(self) -> None:
        """Make bridges and namespaces.

        Raises:
            NoNamespaces: the machine does not let anybody.
        """
        try:
            for name in [*self.services, WORLD]:
                run("ip", "netns", "add", self.namespace(name))
                run("ip", "-n", self.namespace(name), "link", "set", "lo", "up")
            for number, members in enumerate(self.addresses.values()):
                self._bridge(f"z{self.tag}b{number}", number, members)
        except subprocess.CalledProcessError as error:
            raise NoNamespaces(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
        for name in [*self.services, WORLD]:
            self._name_neighbours(name)

    def _bridge(self, bridge: str, number: int, members: dict[str, str]) -> None:
        run("ip", "link", "add", "name", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")
        for place, (name, address) in enumerate(members.items()):
            outer, inner = f"z{self.tag}n{number}v{place}", f"eth{number}"
            space = self.namespace(name)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
            run("ip", "link", "set", outer, "master", bridge, "up")
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", inner)
            run("ip", "-n", space, "link", "set", inner, "up")

    def _name_neighbours(self, name: str) -> None:
        """As Docker's resolver: whoever shares a network has a name, nobody else."""
        lines = ["127.0.0.1 localhost"]
        for members in self.addresses.values():
            lines += [f"{address} {other}" for other, address in members.items() if name in members]
        folder = Path("/etc/netns") / self.namespace(name)
        folder.mkdir(parents=True)
        (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def environment(self, name: str) -> dict[str, str]:
        """The image's variables, the service's own, and those of its files."""
        service = self.services[name]
        said = dict(_PASSED)
        if str(service.get("image", "")).startswith("scizor"):
            words = " ".join(rest for word, rest in last_stage(DEPLOY / "Dockerfile") if word == "ENV")
            image = dict(re.findall(r"([A-Z_]+)=(\S+)", words))
            said |= image | {"PATH": image["PATH"].replace("$PATH", _PASSED["PATH"]), "PYTHONPATH": "/opt/scizor/app"}
            # A file of ours stands where /etc cannot be written.
            said["SCIZOR_CONFIG"] = "/opt/scizor/settings/config.yaml"
        said |= {key: str(value) for key, value in (service.get("environment") or {}).items()}
        for file in service.get("env_file", []):
            lines = (self.folder / file["path"]).read_text(encoding="utf-8").splitlines()
            said |= dict(line.split("=", 1) for line in lines if line)
        return said

    def command(self, name: str, words: Iterable[str]) -> list[str]:
        """The words inside of the service's network and file system, by its user, without any capability."""
        words = list(words)
        if (VENV / "bin" / words[0]).exists() and words[0] != "python":
            # A script of an environment begins with a path of its own.
            words = ["python", f"/opt/scizor/venv/bin/{words[0]}", *words[1:]]
        home = "ro" if name == "viewer" else "rw"
        mounts = [
            "mount -t tmpfs -o mode=755 none /opt",
            "mkdir -p /opt/scizor/app /opt/scizor/venv /opt/scizor/settings",
            f"mount --bind {shlex.quote(str(ROOT))} /opt/scizor/app",
            f"mount --bind {shlex.quote(str(VENV))} /opt/scizor/venv",
            f"mount --bind {self.folder}/settings /opt/scizor/settings",
            "mount -t tmpfs -o mode=755 none /var/lib",
            "mkdir -p /var/lib/scizor",
            f"mount --bind {self.folder}/home /var/lib/scizor",
            f"mount -o remount,bind,{home} /var/lib/scizor",
            "mount -t tmpfs -o mode=755 none /var/backups",
            "mkdir -p /var/backups/scizor",
            f"mount --bind {self.folder}/backups /var/backups/scizor",
            "mount -t tmpfs -o mode=1777,noexec,nosuid,nodev none /tmp",
            *(f"mount -o remount,ro {place}" for place in ("/opt", "/var/lib", "/var/backups")),
            "mount -o remount,bind,ro /",
            "cd /opt/scizor/app",
        ]
        nobody = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs"]
        bare = [*nobody, "--inh-caps=-all", "--bounding-set=-all"]
        script = " && ".join([*mounts, f"exec {shlex.join([*bare, *words])}"])
        return ["ip", "netns", "exec", self.namespace(name), "/bin/sh", "-c", script]

    @cached_property
    def user(self) -> int:
        """The user of the image, where that one can read this Python; else root, without what makes it root."""
        # By a shell, because what one may find before one has become somebody else proves nothing.
        asked = f"exec {shlex.quote(sys.executable)} -c 'import decimal'"
        probe = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "/bin/sh", "-c", asked]
        readable = run(*probe, check=False, cwd="/").returncode == 0 and os.stat(ROOT).st_mode & 0o005 == 0o005
        return USER if readable else 0

    def start(self, name: str, words: Iterable[str] | None = None) -> None:
        """The service, by the command of the file."""
        command = self.command(name, words if words is not None else self.services[name]["command"])
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment(name), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def stop(self, name: str) -> None:
        """The service, and whatever it has begun."""
        for pid in run("ip", "netns", "pids", self.namespace(name), check=False).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if (process := self.processes.pop(name, None)) is not None:
            process.wait(20)

    def once(self, name: str, words: Iterable[str]) -> subprocess.CompletedProcess[str]:
        """A command beside the service, as `docker compose exec` runs one."""
        return run(*self.command(name, words), check=False, env=self.environment(name), timeout=240)

    def healthy(self, name: str) -> bool:
        """What the health check of the file says."""
        assert self.processes[name].poll() is None, f"{name} has ended:\n{self.log(name)[-3000:]}"
        kind, *words = self.services[name]["healthcheck"]["test"]
        return self.once(name, words if kind == "CMD" else ["sh", "-c", *words]).returncode == 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def reaches(self, name: str, address: str, port: int) -> bool:
        """Whether a connection from the service's network gets there."""
        asked = f"import socket; socket.create_connection(({address!r}, {port}), 3)"
        inside = ["ip", "netns", "exec", self.namespace(name), sys.executable, "-I", "-c", asked]
        return run(*inside, check=False, env=_PASSED).returncode == 0

    def visit(self, *asks: tuple[str, bytes]) -> list[Answer]:
        """Requests from outside, each to a name."""
        said = {
            "address": self.addresses["edge"]["proxy"],
            "port": 8443,
            "certificate": str(self.folder / "proxy" / "tls" / "fullchain.pem"),
            "asks": [(name, base64.b64encode(raw).decode()) for name, raw in asks],
        }
        inside = ["ip", "netns", "exec", self.namespace(WORLD), sys.executable, "-m", "tests.deploy.visitor"]
        done = run(*inside, cwd=ROOT, input=json.dumps(said), env={**_PASSED, "PYTHONPATH": str(ROOT)}, timeout=120)
        return [Answer(status, headers, base64.b64decode(body)) for status, headers, body in json.loads(done.stdout)]

    def prepare_proxy(self) -> None:
        """Its configuration with names filled in, and nothing else."""
        configured(self.folder / "proxy", {})

    def end(self) -> None:
        """Everything that was started here, and every network of it."""
        for name in [*self.services, WORLD]:
            self.stop(name)
        for name in [*self.services, WORLD]:
            run("ip", "netns", "del", self.namespace(name), check=False)
            shutil.rmtree(Path("/etc/netns") / self.namespace(name), ignore_errors=True)
        for number in range(len(self.addresses)):
            run("ip", "link", "del", f"z{self.tag}b{number}", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
