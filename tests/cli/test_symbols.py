"""`scizor symbols`: the universe on its way into the lake, and a person's changes to it."""

from tests.cli.conftest import Scizor
from tests.projects import Project


def _states(scizor: Scizor, *flags: str) -> dict[str, str]:
    return {row["symbol"]: row["state"] for row in scizor("symbols", "list", "--json", *flags).json["symbols"]}


def test_symbols_are_populated_removed_listed_and_added_again(scizor: Scizor, fresh: Project) -> None:
    assert scizor("symbols", "list", "--json").json == {"market": "us", "symbols": []}
    due = scizor("symbols", "list", "--due", "--json").json["symbols"]
    assert [(row["symbol"], row["reason"], row["note"]) for row in due][:1] == [("AAPL", "pending", "not asked yet")]
    assert len(due) == 6
    assert not fresh.home.exists()
    assert "is stored yet: scizor symbols populate --market us." in scizor("symbols", "list").out
    assert "every run asks for all of them" in scizor("symbols", "list", "--due").out
    first = scizor("symbols", "populate", "--json")
    assert (first.code, first.json["verified"], first.json["asked"], first.json["retired"]) == (0, 6, 6, [])
    before = (fresh.folder / "universe.csv").read_text(encoding="utf-8")
    removed = scizor("symbols", "remove", "NVDA", "--reason", "sold", "--json")
    assert (removed.code, removed.json["symbol"]) == (0, "NVDA")
    assert _states(scizor, "--retired") == {"NVDA": "retired"}
    assert "sold" in scizor("symbols", "list", "--retired").out
    joined = scizor("symbols", "join", "NVDA", "AAPL")
    assert joined.out == "Nothing is changed yet. With --reason 0 bars, under NVDA, are the history of AAPL.\n"
    added = scizor("symbols", "add", "NVDA", "--mic", "XNAS", "--name", "Nvidia, Inc.", "--json")
    assert (added.code, added.json["verified"]) == (0, True)
    after = (fresh.folder / "universe.csv").read_text(encoding="utf-8")
    assert after == before.replace("NVDA,XNAS,NVDA,USD,Technology,,XNAS\n", "") + 'NVDA,XNAS,"Nvidia, Inc.",USD,,,\n'
    assert set(_states(scizor).values()) == {"tracked"}
    assert scizor("symbols", "validate").code == 0
    assert scizor("symbols", "list", "--retired").out == "No symbol of market 'us' is retired.\n"
    assert "scizor collect history PLTR --market us." in scizor("symbols", "add", "PLTR", "--mic", "XNAS").out


def test_a_change_that_cannot_be_is_refused_by_file_and_line(scizor: Scizor, fresh: Project) -> None:
    before = (fresh.folder / "universe.csv").read_bytes()
    there = scizor("symbols", "add", "AAPL", "--mic", "XNAS")
    assert there.code == 2
    assert "universe.csv:2: AAPL is in the universe" in there.sentence
    for arguments, words in (
        (("add", "ZZZ"), "does not say where ZZZ is listed"),
        (("add", "ZZZ", "--mic", "NASDAQ"), "not a market identifier code"),
        (("add", "zzz", "--mic", "XNAS"), "not a ticker"),
        (("add", "ZZZ", "--mic", "XASX"), "which trades in AUD"),
        (("add", "ZZZ", "--mic", "XNAS", "--file", "other.csv"), "no universe file"),
        (("remove", "ZZZ", "--reason", "x"), "not in the universe"),
        (("remove", "AAPL", "--reason", " "), "No reason is given"),
        (("populate", "--limit", "0"), "cannot be asked for"),
        (("join", "ZZZ", "AAPL"), "Nothing is stored of ZZZ"),
        (("part", "AAPL", "--on", "tomorrow"), "tomorrow"),
    ):
        answer = scizor("symbols", *arguments)
        assert answer.code == 2, arguments
        assert words in answer.sentence, arguments
    assert (fresh.folder / "universe.csv").read_bytes() == before
    assert not fresh.home.exists()
