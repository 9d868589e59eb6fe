"""The list of what is delivered, as CycloneDX: hashes as the lock has them, licences as the packages state them.

What belongs here: joining the two lists that `cyclonedx-py` makes, of the lock and of the environment that was
installed from it. What does not: making either of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name


class Incomplete(Exception):
    """A component has no hash, or there is none at all."""


def joined(lock: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The lock's list with the licences of the environment's; a package of another platform has none.

    Raises:
        Incomplete: the list is empty, or a component has no hash: it was not made from a lock.
    """
    stated = {_identity(item): item.get("licenses") for item in environment.get("components", ())}
    components = []
    for item in lock.get("components", ()):
        if not _hashes(item):
            raise Incomplete(f"{item['name']} {item.get('version', '')} has no hash in the lock.")
        licences = stated.get(_identity(item)) or item.get("licenses")
        components.append({**item, **({"licenses": licences} if licences else {})})
    if not components:
        raise Incomplete("The lock has no component.")
    metadata = {**lock.get("metadata", {})}
    component = environment.get("metadata", {}).get("component")
    if component is not None:
        metadata["component"] = component
    return {**lock, "metadata": metadata, "components": components}


def write_joined(lock: Path, environment: Path, target: Path) -> tuple[int, int]:
    """Write the joined list; how many components it has, and how many of them state a licence."""
    body = joined(json.loads(lock.read_text(encoding="utf-8")), json.loads(environment.read_text(encoding="utf-8")))
    partial = target.with_name(f"{target.name}.partial")
    partial.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(target)
    return len(body["components"]), sum("licenses" in item for item in body["components"])


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    return canonicalize_name(str(item["name"])), str(item.get("version", ""))


def _hashes(item: Mapping[str, Any]) -> list[Any]:
    """Of the component, or of the places it is fetched from, which is where a list of files has them."""
    places = [found for place in item.get("externalReferences", ()) for found in place.get("hashes", ())]
    return [*item.get("hashes", ()), *places]
