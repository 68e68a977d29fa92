"""A site's listing comes in pages: nothing is left out, no record is cut, the last page says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from poliqi.apps.vault.reading import listed
from poliqi.apps.vault.requests import Entry, Listing, Look, decode_listing, encode_listing
from poliqi.base.errors import ProtocolError


def entries(records: int, epochs: int = 1) -> list[Entry]:
    return [
        Entry(number.to_bytes(16, "big"), epoch, "abc", 1, 5, 3, 100, True, True)
        for number in range(records)
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize(("records", "epochs"), [(0, 1), (1, 1), (100, 1), (300, 1), (70, 3), (400, 2)])
@pytest.mark.parametrize("size", [512, 2048, 65536])
def test_all_pages_together_are_the_whole_list(records: int, epochs: int, size: int) -> None:
    wanted, found, after = entries(records, epochs), list[Entry](), b""
    while True:
        page = decode_listing(encode_listing([e for e in wanted if e.record > after], size))
        found += page.entries
        if page.is_last:
            break
        assert page.entries
        after = page.entries[-1].record
    assert found == wanted


@dataclass
class Told:
    """A site that answers each Look by `entries` records of its own making, higher ones each time."""

    entries: int
    is_rising: bool = True
    asked: int = 0
    place: str = "Bovisa"

    def ask(self, request: Look, answer_bytes: int) -> bytes:
        first = 1 + (int.from_bytes(request.after, "big") if self.is_rising else 0)
        self.asked += 1
        made = tuple(Entry(n.to_bytes(16, "big"), 1, "abc", 1, 5, 3, 100, True, True)
                     for n in range(first, first + self.entries))  # fmt: skip
        body = msgspec.msgpack.encode(Listing(made, is_last=False))
        return (len(body).to_bytes(4, "big") + body).ljust(answer_bytes, b"\x00")


@pytest.mark.parametrize(
    ("false", "pages"),
    [(Told(0), 1), (Told(3, is_rising=False), 2), (Told(1), 20_001), (Told(40), 501)],
    ids=["empty", "the same", "ever higher, one a page", "ever higher"],
)
def test_a_listing_without_end_is_refused(false: Any, pages: int) -> None:
    with pytest.raises(ProtocolError, match="Bovisa lists without end"):
        listed(false)
    assert false.asked == pages
