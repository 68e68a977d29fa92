"""Whatever comes from the other machine: refused, or taken for what it says, and never outside its folder."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.share.facts import GROUP, Fact, Facts, State
from poliqi.apps.share.listing import Entry, ListChecker, path_order, read_entries
from poliqi.apps.share.manifest import manifest_line
from poliqi.apps.share.messages import (
    Begin,
    Kind,
    Offer,
    Partial,
    Prefix,
    Refusal,
    Summary,
    pack_begin,
    pack_groups,
    read_batch,
    read_begin,
    read_groups,
    read_index,
    read_json,
    split,
)
from poliqi.apps.share.names import name_problem, peer_folder
from poliqi.apps.share.receipt import read_receipt
from poliqi.apps.share.verify import read_manifest
from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.base.ids import SaeId

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda name: name_problem(name) is None
)
PATHS = st.lists(NAMES, min_size=1, max_size=4)


def entries_of(paths: list[list[str]]) -> list[Entry]:
    """A tree with these leaves below one root, in the order of the specification."""
    folders = {"/".join(["root", *path[:depth]]) for path in paths for depth in range(len(path))}
    files = {"/".join(["root", *path]) for path in paths} - folders
    every = [Entry("d", 0, 0, path) for path in folders | {"root"}] + [Entry("f", 1, -1, path) for path in files]
    return sorted(every, key=lambda entry: path_order(entry.path))


@given(st.lists(PATHS, max_size=12))
def test_a_tree_in_order_is_taken(paths: list[list[str]]) -> None:
    checker, data = ListChecker(), b"".join(entry.line() for entry in entries_of(paths))
    for entry in read_entries(io.BytesIO(data)):
        checker.add(entry)
    assert checker.totals.entries == data.count(b"\n")


@given(st.lists(PATHS, min_size=2, max_size=8), st.randoms())
def test_a_list_out_of_order_is_refused(paths: list[list[str]], dice: object) -> None:
    right = entries_of(paths)
    wrong = list(right)
    dice.shuffle(wrong)  # type: ignore[attr-defined]
    checker = ListChecker()
    try:
        for entry in wrong:
            checker.add(entry)
    except ProtocolError:
        assert wrong != right
    else:
        assert wrong == right


@given(st.binary(max_size=300))
def test_any_bytes_as_a_list(data: bytes) -> None:
    checker = ListChecker()
    try:
        for entry in read_entries(io.BytesIO(data)):
            checker.add(entry)
            # what is taken stays below its root
            assert not entry.path.startswith("/")
            assert not {"", ".", ".."} & set(entry.names)
            assert entry.line() in data
    except ProtocolError:
        return
    assert data == b"" or data.endswith(b"\n")


@given(st.lists(st.sampled_from([b"d - - ", b"f 1 0 ", b"x 2 5 ", b"/", b"..", b"a", b"b", b"\n", b"\0", b"a/a"])))
def test_any_pieces_as_a_list(pieces: list[bytes]) -> None:
    test_any_bytes_as_a_list.hypothesis.inner_test(b"".join(pieces))  # type: ignore[attr-defined]


@given(st.binary(max_size=200), st.integers(1, 1000))
def test_any_bytes_as_a_message(data: bytes, entries: int) -> None:
    view = memoryview(data)
    for read in (
        lambda: split(view, *Kind),
        lambda: list(read_batch(view)),
        lambda: read_begin(view),
        lambda: read_index(view),
        lambda: read_groups(view, entries),
        *(lambda form=form: read_json(view, form) for form in (Offer, Partial, Prefix, Summary, Refusal)),
    ):
        with suppress(ProtocolError):
            read()


@given(
    st.binary(max_size=300) | st.from_regex(rb"([dfx] [-\\d]{1,3} -?\\d [0-9a-g-]{1,66} a\\n){1,3}", fullmatch=True)
)
def test_any_bytes_as_a_manifest(data: bytes) -> None:
    handle = os.memfd_create("manifest")
    try:
        os.write(handle, data)
        lines = b"".join(
            manifest_line(entry, Fact(State.DONE, entry.kind, entry.size_bytes, entry.mtime_ns, digest))
            for entry, digest in read_manifest(Path(f"/proc/self/fd/{handle}"))
        )
    except DataRefused:
        return
    finally:
        os.close(handle)
    assert lines == data or not data.endswith(b"\n")


@given(st.binary(max_size=400))
def test_any_bytes_as_a_receipt(data: bytes) -> None:
    try:
        read_receipt(data)
    except DataRefused:
        return
    raise AssertionError("no random bytes are a receipt")


@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.integers(0, 2**62 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**62 - 1),
)
def test_the_beginning_of_a_file_comes_back_as_it_was(i: int, x: bool, size: int, mtime: int, offset: int) -> None:
    begin = Begin(i, x, size, mtime, min(offset, size))
    message = memoryview(pack_begin(begin))
    assert read_begin(split(message, Kind.BEGIN)[1]) == begin


@given(st.text(min_size=1, max_size=64))
def test_the_folder_of_a_peer_is_one_plain_name(name: str) -> None:
    if any(0xD800 <= ord(c) < 0xE000 for c in name):
        return
    folder = peer_folder(SaeId(name))
    assert name_problem(folder) is None
    assert not folder.startswith(".")


@given(st.dictionaries(st.integers(0, 299), st.binary(min_size=32, max_size=32), max_size=40), st.integers(0, 299))
def test_groups_agree_exactly_where_the_facts_do(done: dict[int, bytes], odd: int) -> None:
    mine, theirs = (Facts(os.memfd_create("facts"), 300) for _ in range(2))
    try:
        for index, digest in done.items():
            for facts in (mine, theirs):
                facts.put(index, Fact(State.DONE, "f", index, -index, digest))
        if odd in done:
            mine.put(odd, Fact(State.DONE, "f", odd, -odd, bytes(32) if any(done[odd]) else b"\x01" * 32))
        groups = [
            group
            for message in pack_groups(theirs.groups())
            for group in read_groups(split(memoryview(message), Kind.GROUPS)[1], 300)
        ]
        assert {group.number for group in groups} == {index // GROUP for index in done}
        for group in groups:
            assert mine.agrees(group) == (odd not in done or group.number != odd // GROUP)
            assert {64 * group.number + bit for bit in range(64) if group.done >> bit & 1} == {
                index for index in done if index // GROUP == group.number
            }
    finally:
        mine.close()
        theirs.close()


@given(st.binary(max_size=500))
def test_any_bytes_as_facts(data: bytes) -> None:
    handle = os.memfd_create("facts")
    os.write(handle, data)
    facts = Facts(handle, 10)
    try:
        assert all(fact.state in State for fact in facts)
    finally:
        facts.close()
