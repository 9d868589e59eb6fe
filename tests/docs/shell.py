"""A terminal that the documentation is typed into: `scizor` runs in this process, everything else in a shell.

With `SCIZOR_TORTURE` `scizor` too is a process of its own.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from unittest import mock

from scizor_dagster.cli.app import main
from tests.docs.blocks import ROOT, Command

LEFT_OUT, ANOTHER = "...", "…"


@dataclass
class Shell:
    """Where it stands, and what it has in its environment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def type(self, line: str) -> tuple[int, str]:
        """Exit code and standard output of one command line."""
        words = [name for word in shlex.split(line) for name in self._found(self._expanded(word))]
        if words[0] == "export":
            self.environment |= dict(word.split("=", 1) for word in words[1:])
            return 0, ""
        if words[0] == "cd":
            self.folder = Path(os.path.normpath(self.folder / words[1]))
            return 0, ""
        if words[0] == "scizor":
            return self._scizor(words)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self._whole(), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _whole(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _FORGOTTEN}
        return kept | {"SCIZOR_KERNEL": "python", "PYTHONPATH": str(ROOT)} | self.environment

    def _expanded(self, word: str) -> str:
        home = self.environment.get("HOME", "")
        text = re.sub(r"(^|=)~(?=/|$)", lambda found: found[1] + home, word)
        return re.sub(r"\$\{?([A-Z_]+)\}?", lambda found: self.environment.get(found[1], ""), text)

    def _found(self, word: str) -> list[str]:
        matching = sorted(glob(word, root_dir=self.folder)) if "*" in word else []
        return matching or [word]

    def _scizor(self, words: list[str]) -> tuple[int, str]:
        if os.environ.get("SCIZOR_TORTURE"):
            command = [sys.executable, "-m", "scizor_dagster", *words[1:]]
            done = subprocess.run(
                command, cwd=self.folder, env=self._whole(), capture_output=True, text=True, timeout=300, check=False
            )
            return done.returncode, done.stdout + done.stderr * (done.returncode != 0)
        said, complained = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self._whole(), clear=True),
            mock.patch.object(sys, "argv", words),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(complained),
        ):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return code, said.getvalue() + complained.getvalue() * (code != 0)

    def follow(self, command: Command, code: int = 0) -> None:
        """Type a command of the documentation; it must end with `code` and print what the page shows."""
        got, said = self.type(command.line)
        assert got == code, f"{command.line}\nended with {got}:\n{said}"
        if command.shows:
            assert shown_by(command.shows, said), f"{command.line}\nprinted\n{said}\nand the page shows\n" + "\n".join(
                command.shows
            )


def shown_by(shows: tuple[str, ...], said: str) -> bool:
    """Whether the output is what the page shows: `...` is any number of lines, `…` any text in one."""
    parts = []
    for line in shows:
        text = line.rstrip()
        parts.append(r"(?:.*\n)*?" if text == LEFT_OUT else _line(text))
    whole = "".join(f"{line.rstrip()}\n" for line in said.splitlines())
    return re.fullmatch("".join(parts), whole) is not None


def _line(text: str) -> str:
    return (
        ".*".join(re.escape(part.rstrip()) if at else re.escape(part) for at, part in enumerate(text.split(ANOTHER)))
        + r"\n"
    )


_FORGOTTEN = ("SCIZOR_HOME", "SCIZOR_CONFIG", "DATABASE_URL", "DAGSTER_HOME", "LOG_LEVEL", "APCA_API_KEY_ID",
              "APCA_API_SECRET_KEY", "SCIZOR_TORTURE")  # fmt: skip
