"""The list of what is delivered has the hash of every component, and the licences that are stated."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.release import __main__ as command
from tests.release.sbom import Incomplete, joined

MIT = [{"license": {"id": "MIT"}}]


def component(name: str, version: str = "1.0", *, hashed: bool = True, **more: Any) -> dict[str, Any]:
    places = [{"type": "distribution", "url": "x", "hashes": [{"alg": "SHA-256", "content": "a" * 64}]}]
    return {"name": name, "version": version, "externalReferences": places if hashed else [], **more}


LOCK = {"bomFormat": "CycloneDX", "metadata": {"tools": []}, "components": [component("a-b"), component("c", "2.0")]}
ENVIRONMENT = {
    "metadata": {"component": {"name": "scizor", "version": "1.2.0"}},
    "components": [
        component("A_B", licenses=MIT, hashed=False),
        component("c", "1.9", licenses=MIT),
        component("only-here", licenses=MIT),
    ],
}


def test_components_are_those_of_the_lock_with_the_licences_of_what_is_installed() -> None:
    found = joined(LOCK, ENVIRONMENT)
    assert [(item["name"], item.get("licenses")) for item in found["components"]] == [("a-b", MIT), ("c", None)]
    assert found["metadata"] == {"tools": [], "component": {"name": "scizor", "version": "1.2.0"}}


def test_a_component_without_a_hash_is_not_listed_as_if_it_had_one() -> None:
    with pytest.raises(Incomplete, match=r"free 3\.0 has no hash"):
        joined({"components": [component("a"), component("free", "3.0", hashed=False)]}, ENVIRONMENT)


def test_a_list_of_nothing_is_no_list() -> None:
    with pytest.raises(Incomplete, match="no component"):
        joined({"components": []}, ENVIRONMENT)


def test_the_command_writes_the_whole_list_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, environment, target = (tmp_path / name for name in ("lock.json", "environment.json", "out.json"))
    environment.write_text(json.dumps(ENVIRONMENT))
    words = ["sbom", str(lock), str(environment), str(target)]
    lock.write_text(json.dumps({"components": []}))
    assert command.main(words) == 1
    assert not target.exists()
    lock.write_text(json.dumps(LOCK))
    assert command.main(words) == 0
    assert "2 components with hashes, 1 state a licence" in capsys.readouterr().out
    assert len(json.loads(target.read_text())["components"]) == 2


def test_other_words_are_a_wrong_call() -> None:
    assert command.main([]) == 2
