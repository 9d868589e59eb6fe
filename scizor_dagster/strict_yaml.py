"""YAML that does not guess: one reader for every configuration file.

What belongs here: reading text into plain values with the line of each key. What does not: what
the keys mean (`config`, `signals.manifest`).

Refused, with file and line: duplicate keys, aliases, tags, documents after the first, nesting
deeper than 30, files above 1 MiB. An alias or a level too many ends reading where it stands: neither is
expanded first. `yes`, `no`, `on`, `off`, `1:30` and `012` stay text, so that a
ticker or a time is never turned into a boolean or a number (YAML 1.2 core schema).
`${NAME}` in a value is replaced by the environment variable; an unset or empty one is an error. Values of keys that
hold secrets, and all that stands below them, are left as they are written: they name the variable and are read where
they are needed.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scizor_dagster.errors import ConfigError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 30
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_MAX_DIGITS = 300
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SCALAR_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp"})

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlDocument:
    """A read file: its values, and for every key path the line it stands on (from 1)."""

    path: Path
    value: Any
    lines: dict[Key, int] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """`file:line: a.b[0]`, with the nearest enclosing line that is known."""
        probe = key
        while probe and probe not in self.lines:
            probe = probe[:-1]
        line = f":{self.lines[probe]}" if probe in self.lines else ""
        return f"{self.path}{line}: {dotted(key)}" if key else f"{self.path}{line}"


def dotted(key: Key) -> str:
    """Render a key path the way a person writes it: `risk.limits[0].name`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def read_yaml(path: Path, environment: Mapping[str, str], secrets: Collection[str] = ()) -> YamlDocument:
    """Read one YAML file; values of and below the keys named in `secrets` are left as they are written.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not plain YAML.
    """
    raw = _bytes(path)
    try:
        node = _Loader(raw.decode("utf-8-sig"), path).get_single_node()
    except UnicodeDecodeError as error:
        raise ConfigError("The file is not UTF-8.", remedy="Save it as UTF-8.", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(
            f"The file is not valid YAML: {problem}.", remedy="Mend the line.", where=f"{path}{line}"
        ) from error
    reader = _Reader(path, environment, secrets)
    value = {} if node is None else reader.build(node, ())
    return YamlDocument(path=path, value=value, lines=reader.lines)


def _bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError("This is not a regular file.", remedy="Name the file itself.", where=str(path))
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"The file cannot be read ({error.strerror}).", remedy="Create it, or name another one.", where=str(path)
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"The file has more than {MAX_BYTES} bytes.", remedy="Split it.", where=str(path))
    return raw


class _Loader(yaml.SafeLoader):
    """Stops at the first alias and at the first level too many, before the rest of the text is looked at."""

    def __init__(self, text: str, path: Path) -> None:
        super().__init__(text)
        self._path = path
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        where = f"{self._path}:{event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError("Aliases are not allowed.", remedy="Write the value out.", where=where)
        if self._depth > MAX_DEPTH:
            raise ConfigError(f"The file is nested deeper than {MAX_DEPTH}.", remedy="Flatten it.", where=where)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    def __init__(self, path: Path, environment: Mapping[str, str], secrets: Collection[str]) -> None:
        self.path = path
        self.environment = environment
        self.secrets = frozenset(secrets)
        self.lines: dict[Key, int] = {}

    def fail(self, node: yaml.Node, problem: str, remedy: str) -> ConfigError:
        return ConfigError(problem, remedy=remedy, where=f"{self.path}:{node.start_mark.line + 1}")

    def build(self, node: yaml.Node, key: Key) -> Any:
        self.lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*key, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode) or name_node.value == "<<":
                raise self.fail(name_node, "A key must be plain text.", "Write the key out.")
            name = str(name_node.value)
            if name in result:
                raise self.fail(name_node, f"The key '{dotted((*key, name))}' stands twice.", "Keep one of the two.")
            self.lines[(*key, name)] = name_node.start_mark.line + 1
            result[name] = self.build(value_node, (*key, name))
        return result

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        text = str(node.value)
        plain = getattr(node, "style", None) is None
        if str(node.tag).removeprefix("tag:yaml.org,2002:") not in _SCALAR_TAGS:
            raise self.fail(node, f"The tag '{node.tag}' is not allowed.", "Remove it.")
        if not self.secrets.isdisjoint(key):
            return text
        if _VARIABLE.search(text):
            return _VARIABLE.sub(lambda match: self._variable(node, match.group(1)), text)
        if not plain:
            return text
        if text in ("", "~", "null", "Null", "NULL"):
            return None
        if text in ("true", "True", "TRUE"):
            return True
        if text in ("false", "False", "FALSE"):
            return False
        if _INTEGER.match(text):
            if len(text) > _MAX_DIGITS:
                raise self.fail(node, f"The number has {len(text)} digits.", "Put quotes around what is no number.")
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        return text

    def _variable(self, node: yaml.Node, name: str) -> str:
        value = self.environment.get(name, "")
        if not value.strip():
            raise self.fail(
                node, f"The environment variable {name} is unset or empty.", f"Set {name}, for example in .env."
            )
        return value
