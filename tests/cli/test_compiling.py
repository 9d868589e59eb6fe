"""What is said before the first backtest of a version."""

import pytest

from scizor_dagster.cli.compiling import say_compiling
from scizor_dagster.planning import compiled


def test_compiling_is_announced_where_it_is_due_and_nowhere_else(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "cache_folder", lambda _: tmp_path)
    monkeypatch.setenv(compiled.SWITCH, "python")
    say_compiling()
    assert capsys.readouterr().err == ""
    monkeypatch.delenv(compiled.SWITCH)
    say_compiling()
    assert "Compiling the planner, once" in capsys.readouterr().err
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "loop.nbi").touch()
    say_compiling()
    assert capsys.readouterr().err == ""
