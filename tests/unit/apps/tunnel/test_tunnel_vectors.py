"""What a peer sends, against vectors written from the specification; most of them have to be refused."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.apps.tunnel.messages import read_open
from poliqi.apps.tunnel.packets import Sources
from poliqi.base.errors import ProtocolError

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "tunnel" / "tunnel.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["what"])
def test_a_message_opens_what_the_specification_says(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["message"])
    if vector["open"] is None:
        with pytest.raises(ProtocolError):
            read_open(message)
    else:
        assert read_open(message) == vector["open"]


@pytest.mark.parametrize("vector", VECTORS["packets"], ids=lambda v: v["what"])
def test_packets_are_taken_as_the_specification_says(vector: dict[str, Any]) -> None:
    sources = Sources([ipaddress.ip_network(text) for text in VECTORS["networks"]])
    message = memoryview(bytes.fromhex(vector["message"]))
    for _ in range(2):  # the second time, sources are known already
        if vector["taken"] is None:
            with pytest.raises(ProtocolError):
                list(sources.admit(message))
        else:
            assert [packet is not None for packet in sources.admit(message)] == vector["taken"]
