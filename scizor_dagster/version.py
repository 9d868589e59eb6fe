"""Which code made a result.

What belongs here: the version that plans and materializations record. What does not: release notes.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """`<release>+<digest>`: the release, and a digest of the planning sources that decide quantities."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "planning").glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return f"{release()}+{digest.hexdigest()[:12]}"


def release() -> str:
    """The release that is installed."""
    try:
        return version("scizor")
    except PackageNotFoundError:
        return "source"
