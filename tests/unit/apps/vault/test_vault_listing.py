"""A site's listing comes in pages: nothing is left out, no record is cut, the last page says so."""

from __future__ import annotations

import pytest

from poliqi.apps.vault.requests import Entry, decode_listing, encode_listing


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
