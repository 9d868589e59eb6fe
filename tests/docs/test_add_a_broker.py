"""docs/guides/add-a-broker.md: the adapter of the page passes the contract of every broker, by its own test."""

import sys
from types import ModuleType

from tests.docs.blocks import ROOT, Block, blocks_of

FILES = {
    block.says: block for block in blocks_of(ROOT / "docs" / "guides" / "add-a-broker.md") if block.marker == "file"
}


def _loaded(block: Block) -> ModuleType:
    module = ModuleType(block.says.removesuffix(".py"))
    sys.modules[module.__name__] = module
    exec(compile(block.text, block.place, "exec"), module.__dict__)
    return module


_loaded(FILES["toy_broker.py"])
TestToyBroker = _loaded(FILES["test_toy_broker.py"]).TestToyBroker


def test_every_method_of_the_protocol_is_in_the_adapter_of_the_page() -> None:
    from scizor_dagster.brokers.protocol import Broker

    asked = {name for name in vars(Broker) if not name.startswith("_")}
    assert asked - vars(sys.modules["toy_broker"].ToyBroker).keys() == set()
