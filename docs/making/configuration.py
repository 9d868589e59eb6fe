"""The reference of the configuration: every key with type, default, bounds and meaning, out of the Pydantic models.

What belongs here: walking the models. The meaning of a key is, in this order, that of its row in
`docs/configuration.md`, of its model's docstring or of `docs/reference/config-keys.yaml`; a key with none fails the
build.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

DOCS = Path(__file__).resolve().parents[1]
GUIDE, LIST = DOCS / "configuration.md", DOCS / "reference" / "config-keys.yaml"
_SHARED = ("risk", "planning", "execution", "weights", "idempotency", "reconciliation")
_FURTHER_SOURCES = ("fallbacks", "compare_with")
"""Their keys are those of `provider`, and stand there."""
_LEFT_OUT = ("legacy_notes", "source")
_DEEPEST = 4
"""Parts of the path of a key of a connection: `markets.provider.url`."""
_ROW = re.compile(r"^\| (?P<keys>`.+?) \| (?P<meaning>.+?) \|(?: (?P<default>.*?) \|)?$")


@dataclass(frozen=True)
class Key:
    """One key. `path` is dotted, with `<name>` where a name of the user's stands."""

    path: str
    kind: str
    default: str
    meaning: str


def pages() -> dict[str, str]:
    from scizor_dagster.config import Config
    from scizor_dagster.signals.manifest import StrategyEntry

    config = list(keys_of(Config))
    manifest = list(_keys(StrategyEntry, "strategies[]", ()))
    silent = [key.path for key in (*config, *manifest) if not key.meaning]
    if silent:
        raise ValueError(f"Nothing says what these keys mean: {silent}. Add them to docs/reference/config-keys.yaml.")
    return {
        "reference/config-keys.md": _page("Keys of config.yaml", "How they work together: ", config),
        "reference/manifest-keys.md": _page("Keys of strategy_manifest.yaml", "How a file is read: ", manifest),
    }


def keys_of(model: type[BaseModel]) -> Iterator[Key]:
    """Every key of the whole file; the sections that portfolios share stand once, at the top."""
    from scizor_dagster.config import Portfolio

    yield from _keys(model, "", (*_LEFT_OUT, *(f"portfolios.<name>.{name}" for name in _SHARED)))
    for name in _SHARED:
        yield from _keys(_models(Portfolio.model_fields[name].annotation)[0], name, ())


def _keys(model: type[BaseModel], prefix: str, left_out: tuple[str, ...]) -> Iterator[Key]:
    documented = _attributes(model)
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}".lstrip(".")
        if path in left_out:
            continue
        inner = [] if name in _FURTHER_SOURCES else _models(field.annotation)
        place = path + (".<name>" if _is_mapping(field.annotation) else "[]" if _is_list(field.annotation) else "")
        if not inner:
            meaning = from_guide(path) or documented.get(name) or _said(model, name) or from_list(path)
            yield Key(path, _kind(field), _default(field), meaning)
        for alternative in inner:
            label = _label(alternative)
            yield from _keys(alternative, f"{place} ({label})" if label and len(inner) > 1 else place, left_out)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model in an annotation, however deep."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _is_mapping(annotation: Any) -> bool:
    return get_origin(annotation) is dict


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _label(model: type[BaseModel]) -> str:
    """What chooses this alternative: `type: files`, `broker: paper`, `kind: cooldown`."""
    for name in ("type", "broker", "kind"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            return f"{name}: {get_args(field.annotation)[0]}"
    return ""


def _kind(field: FieldInfo) -> str:
    bounds = [text for item in field.metadata if (text := _bound(item))]
    kind = _type(field.annotation)
    return kind + (f", {', '.join(bounds)}" if bounds else "")


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [text for item in parts[1:] if (text := _bound(item))]
        return _type(parts[0]) + (f", {', '.join(bounds)}" if bounds else "")
    if origin is Literal:
        return ", ".join(
            f"`{str(part).lower() if isinstance(part, bool) else part}`".replace("|", "\\|").replace("\t", "\\t")
            for part in parts
        )
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in parts if part is not types.NoneType))
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"{_type(parts[0])} to {_type(parts[1])}"
    if _models(annotation):
        return "a section like `provider`"
    return _NAMES.get(annotation) or getattr(annotation, "__name__", str(annotation))


_NAMES = {SecretStr: "text", str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def _bound(item: Any) -> str:
    """A constraint in words: of `annotated_types`, or a Pydantic field in an alias."""
    if isinstance(item, FieldInfo):
        return ", ".join(text for part in item.metadata if (text := _bound(part)))
    for name, sign in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if (value := getattr(item, name, None)) is not None:
            return f"{sign} {value if isinstance(value, int) else format(value, 'g')}"
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """The section `Attributes:` of the docstrings of a model and of what it is derived from."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        text = inspect.cleandoc(kind.__doc__ or "") if issubclass(kind, BaseModel) and kind is not BaseModel else ""
        _, _, listed = text.partition("Attributes:\n")
        for item in re.findall(r"^    (\w+): ((?:.|\n(?=     ))+)", listed, flags=re.MULTILINE):
            found[item[0]] = " ".join(item[1].split())
    return found


def _said(model: type[BaseModel], name: str) -> str:
    """The text that stands below a field; else, of a model's only or chosen key, what the model itself is."""
    tree = inspect.getsource(model)
    found = re.search(rf'^    {name}: .+\n    """((?:.|\n)+?)"""', tree, flags=re.MULTILINE)
    if found:
        return " ".join(found[1].split())
    first = inspect.cleandoc(model.__doc__ or "").partition("\n")[0]
    return first if name in ("type", "broker", "kind") else ""


def from_guide(path: str) -> str:
    """The meaning that `docs/configuration.md` gives the key, where it has a row of its own."""
    plain = _plain(path)
    parts = plain.split(".")
    best = ""
    for section, keys, meaning in _rows():
        of_a_connection = section == "connections" or parts[1:2] == ["provider"]
        near = parts[0] in ("markets", "accounts") and len(parts) < _DEEPEST and of_a_connection
        if section not in (parts[0], "connections"):
            continue
        if section == parts[0] and ".".join(parts[1:]) in keys:
            return _from_the_reference(meaning)
        if near and parts[-1] in keys:
            best = meaning
    return _from_the_reference(best)


def from_list(path: str) -> str:
    """The meaning that `docs/reference/config-keys.yaml` gives the longest end of the path that it has."""
    plain = _plain(path)
    listed = _listed()
    fitting = [key for key in listed if f".{plain}".endswith(f".{key}") or _ends_of(plain, key)]
    return str(listed[max(fitting, key=len)]) if fitting else ""


@cache
def _listed() -> dict[str, str]:
    read: dict[str, str] = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return read


def _ends_of(plain: str, key: str) -> bool:
    """Whether `key` is the first and the last word of the path: `accounts.currency`."""
    parts = plain.split(".")
    return key == f"{parts[0]}.{parts[-1]}"


def _plain(path: str) -> str:
    """A path without names, lists and alternatives."""
    return re.sub(r"( \([^)]*\)|\[\]|\.<name>)", "", path)


@cache
def _rows() -> list[tuple[str, list[str], str]]:
    section, found = "", []
    for line in GUIDE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = re.sub(r"\W.*", "", line.lstrip("# ")).lower().replace("strategy_manifest", "strategies")
        elif match := _ROW.match(line):
            keys = re.findall(r"`([^`]+)`", match["keys"])
            if len(keys) == 1:
                found.append((section, keys, match["meaning"]))
    return found


def _from_the_reference(text: str) -> str:
    """Links of the guide, as they lead from the folder of the reference."""
    return re.sub(r"\]\((?=[\w-]+\.md|#)", lambda _: "](../", text).replace("](../#", "](../configuration.md#")


def _page(title: str, words: str, keys: list[Key]) -> str:
    guide = "[Configuration](../configuration.md)" if "config" in title else "[Weight files](../weight-files.md)"
    lines = [f"# {title}", "", f"{words}{guide}. `<name>` is a name of your own, `[]` an entry of a list.", ""]
    section = top = None
    first_at = {parent: at for at, parent in reversed([*enumerate(key.path.rpartition(".")[0] for key in keys)])}
    for key in sorted(keys, key=lambda key: first_at[key.path.rpartition(".")[0]]):
        parent, _, name = key.path.rpartition(".")
        if parent != section:
            section, first = parent, parent.split(".")[0].removesuffix("[]") or "At the top"
            lines += ["", f"## {first}"] if first != top else []
            lines += [] if parent in ("", first) else ["", f"### {_heading(parent)}"]
            top = first
            lines += ["", "| key | type | default | meaning |", "|---|---|---|---|"]
        lines.append(f"| `{name}` | {key.kind} | {key.default} | {key.meaning[:1].upper()}{key.meaning[1:]} |")
    return "\n".join([*lines, ""])


def _heading(path: str) -> str:
    """The path, and behind it with which alternative it goes."""
    chosen = re.findall(r" \(([^)]*)\)", path)
    plain = re.sub(r" \([^)]*\)", "", path)
    return f"`{plain}`" + "".join(f", with `{choice}`" for choice in chosen)
