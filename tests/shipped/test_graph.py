"""The graph does not drift: what is shipped is what somebody has looked at."""

import difflib

from tests.shipped.graph import SNAPSHOT, graph_text


def test_the_graph_is_the_one_that_was_looked_at() -> None:
    known = SNAPSHOT.read_text(encoding="utf-8")
    diff = difflib.unified_diff(known.splitlines(), graph_text().splitlines(), "looked at", "now", lineterm="")
    changed = "\n".join(diff)
    assert not changed, f"The shipped graph has changed. If it is meant: make snapshot, and commit it.\n{changed}"
