"""The home of an earlier version, as that version left it."""

from __future__ import annotations

import zipfile
from pathlib import Path

EARLIER = Path(__file__).parent / "earlier.zip"
"""A project that the first version which could follow several sessions has traded one session with: ledger schema 0001,
a lake of its tables. Its configuration is that of then."""


def earlier_home(folder: Path) -> Path:
    """Unpack it into `folder`."""
    with zipfile.ZipFile(EARLIER) as archive:
        archive.extractall(folder)
    return folder
