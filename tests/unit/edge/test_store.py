"""The store: marks are all or nothing, cursors never go back, nothing is lost or used twice."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from link_states import LINK, WORDS, make_block, make_state, pad

from poliqi.base.errors import ConfigError, KeyExhausted, StoreError
from poliqi.base.ids import BlockNumber, Origin, Role
from poliqi.distill.outcome import Burn, Confirm, HoldPending, PadCursor, Usage
from poliqi.edge.keyfile import read_keys
from poliqi.edge.store import LinkStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_state(tmp_path / "state")


@contextmanager
def opened(folder: Path, keys: Path | None = None) -> Iterator[LinkStore]:
    with closing(LinkStore(folder)) as store:
        if keys is not None:
            store.deliver_to(keys)
        yield store


def confirm(store: LinkStore, block: HoldPending) -> None:
    store.apply([block, Confirm(block.block.number)])


def delivered(path: Path) -> list[tuple[int, bytes]]:
    return [(record.number, record.key.take()) for record in read_keys(path)[1]]


# ---------------------------------------------------------------- lanes


def test_fresh_lane_holds_every_word(folder: Path) -> None:
    with opened(folder) as store:
        lane = store.lanes()[Role.BOB]
        assert [lane.word(index) for index in (0, 31)] == [pad("bob", 0, 1), pad("bob", 31, 1)]


def test_cursor_survives_closing(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 5)])
    with opened(folder) as store:
        assert store.lanes()[Role.ALICE].next_word == 5


def test_cursor_survives_a_kill(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 5)])
        shutil.copytree(folder, tmp_path / "killed")
    with opened(tmp_path / "killed") as store:
        assert store.lanes()[Role.ALICE].next_word == 5


def test_cursor_cannot_go_back(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 5)])
        with pytest.raises(StoreError, match="cannot go back to 4"):
            store.apply([PadCursor(Role.ALICE, 4)])


def test_used_words_are_gone(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 5)])
    held = (folder / "link.sqlite").read_bytes()
    assert pad("alice", 5, 1) in held
    assert not any(pad("alice", used, 1) in held for used in range(5))


def test_no_log_is_left_that_could_hold_used_words(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 5)])
    assert [entry.name for entry in folder.iterdir()] == ["link.sqlite"]


def test_cursor_past_the_end_stops_at_the_end(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, WORDS + 1)])
        assert store.status().words_left[Role.ALICE] == 0


def test_empty_lane_asks_to_pair_again(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.BOB, WORDS)])
        with pytest.raises(KeyExhausted, match="pad of bob is used up; pair the link again"):
            store.lanes()


def test_refills_continue_the_lane(folder: Path) -> None:
    with opened(folder) as store:
        confirm(store, make_block(1, refill=2))
        lane = store.lanes()[Role.BOB]
        assert (lane.end_word, lane.word(WORDS + 1)) == (WORDS + 2, pad("bob", WORDS + 1, 1))


def test_words_of_a_pending_block_may_be_in_use_already(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.BOB, WORDS), make_block(1, refill=4)])
        store.apply([PadCursor(Role.BOB, WORDS + 3)])
    with opened(folder) as store:
        store.apply([Confirm(BlockNumber(1))])
        lane = store.lanes()[Role.BOB]
        assert (lane.next_word, lane.available, lane.word(WORDS + 3)) == (WORDS + 3, 1, pad("bob", WORDS + 3, 1))


def test_lane_that_only_a_pending_block_fills_starts_where_it_ends(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.BOB, WORDS), make_block(1, refill=4)])
        store.apply([PadCursor(Role.BOB, WORDS + 3)])
        lane = store.lanes()[Role.BOB]
        lane.extend(pad("bob", WORDS, 4))
        assert (lane.next_word, lane.word(WORDS + 3)) == (WORDS + 3, pad("bob", WORDS + 3, 1))


def test_burnt_block_takes_its_words_along(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.BOB, WORDS), make_block(1, refill=4)])
        store.apply([PadCursor(Role.BOB, WORDS + 3)])
        store.apply([Burn(BlockNumber(1))])
        confirm(store, make_block(2, refill=4))
        assert store.lanes()[Role.BOB].available == 4


# ---------------------------------------------------------------- blocks


def test_block_numbers_and_slots_are_never_used_twice(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([Usage(BlockNumber(8), 500)])
        store.apply([Usage(BlockNumber(3), 900)])
    with opened(folder) as store:
        assert (store.history().next_block, store.history().next_slot) == (8, 900)


def test_pending_block_is_handed_back_whole(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([make_block(4, b"secret")])
    with opened(folder) as store:
        pending = store.history().pending
        assert pending is not None
        assert (pending.block.number, pending.block.key.take(), pending.block.leak_bits) == (4, b"secret", 99)
        assert pending.refill_bob.take() == pad("bob", WORDS, 2)


def test_pending_block_is_not_delivered(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "keys") as store:
        store.apply([make_block(1)])
    assert delivered(tmp_path / "keys") == []


def test_confirmed_block_is_delivered_and_leaves_the_state(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "keys") as store:
        store.apply([make_block(1, b"sixteen byte key")])
        store.apply([Confirm(BlockNumber(1))])
        assert (store.status().undelivered, store.status().last_confirmed) == (0, 1)
    assert delivered(tmp_path / "keys") == [(1, b"sixteen byte key")]
    assert b"sixteen byte key" not in (folder / "link.sqlite").read_bytes()


def test_burnt_block_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "keys") as store:
        store.apply([make_block(1, b"sixteen byte key")])
        store.apply([Burn(BlockNumber(1))])
        assert (store.history().pending, store.lanes()[Role.ALICE].end_word) == (None, WORDS)
    assert b"sixteen byte key" not in (folder / "link.sqlite").read_bytes()
    assert delivered(tmp_path / "keys") == []


def test_block_without_net_key_fills_lanes_and_delivers_nothing(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "keys") as store:
        confirm(store, make_block(1, b""))
        assert store.lanes()[Role.ALICE].end_word == WORDS + 2
    assert delivered(tmp_path / "keys") == []


def test_session_copies_are_wiped_once_the_block_is_confirmed(folder: Path) -> None:
    with opened(folder) as store:
        block = make_block(1)
        store.apply([block])
        assert len(block.refill_alice.view()) == 32
        store.apply([Confirm(BlockNumber(1))])
        with pytest.raises(ValueError, match="wiped"):
            block.block.key.view()


def test_marks_are_all_or_nothing(folder: Path) -> None:
    with opened(folder) as store:
        with pytest.raises(StoreError):
            store.apply([PadCursor(Role.ALICE, 5), Usage(BlockNumber(9), 7), Confirm(BlockNumber(7))])
        assert (store.lanes()[Role.ALICE].next_word, store.history().next_block) == (0, 1)


def test_second_pending_block_is_refused(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([make_block(1)])
        with pytest.raises(StoreError, match="block 2 cannot be held"):
            store.apply([make_block(2)])


def test_confirmed_number_cannot_come_again(folder: Path) -> None:
    with opened(folder) as store:
        confirm(store, make_block(3))
        with pytest.raises(StoreError, match="block 3 cannot be held"):
            store.apply([make_block(3)])


def test_real_light_in_a_simulated_state_is_refused(folder: Path) -> None:
    with opened(folder) as store, pytest.raises(ConfigError, match="made for simulated light"):
        store.apply([make_block(1, origin=Origin.PHOTONS)])


@pytest.mark.parametrize("origin", [Origin.SIMULATED, Origin.REPLAY])
def test_simulated_light_in_a_real_state_is_refused(tmp_path: Path, origin: Origin) -> None:
    folder = make_state(tmp_path / "state", simulated=False)
    with opened(folder) as store, pytest.raises(ConfigError, match="made for real photons"):
        store.apply([make_block(1, origin=origin)])


def test_own_epsilons_of_all_blocks_add_up_for_the_next_ledger(folder: Path) -> None:
    with opened(folder) as store:
        confirm(store, make_block(1, epsilon=1e-10, first=32))
        confirm(store, make_block(2, epsilon=2e-10, first=34))
        assert store.history().epsilon == pytest.approx(3e-10)


def test_epsilon_of_all_keys_is_the_last_block_s(tmp_path: Path) -> None:
    with opened(make_state(tmp_path / "state", simulated=False)) as store:
        confirm(store, make_block(1, origin=Origin.PHOTONS, first=32, epsilon=1e-10))
        confirm(store, make_block(2, origin=Origin.PHOTONS, first=34, epsilon=2e-10))
        assert store.status().epsilon == pytest.approx(2e-10)


# ---------------------------------------------------------------- delivery after a crash


def test_block_confirmed_without_a_key_file_waits_for_one(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as store:
        confirm(store, make_block(1, b"k1"))
        assert store.status().undelivered == 1
    with opened(folder, tmp_path / "keys"):
        pass
    assert delivered(tmp_path / "keys") == [(1, b"k1")]


def test_crash_before_the_key_file_was_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    with opened(folder, keys) as store:
        monkeypatch.setattr("poliqi.edge.keyfile.KeyFile.append", _broken)
        with pytest.raises(StoreError, match="no space"):
            confirm(store, make_block(1, b"k1"))
        monkeypatch.undo()
    with opened(folder, keys):
        pass
    assert delivered(keys) == [(1, b"k1")]


def test_crash_after_the_key_file_was_written(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    with opened(folder, keys) as store:
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setattr("poliqi.edge.keyfile.KeyFile.append", _broken)
            with pytest.raises(StoreError):
                confirm(store, make_block(1, b"k1"))
    shutil.copytree(folder, tmp_path / "killed")
    with opened(folder, keys):
        pass
    with opened(tmp_path / "killed", keys):
        pass
    assert delivered(keys) == [(1, b"k1")]


@pytest.mark.parametrize("cut", [1, 5, 14])
def test_crash_inside_a_record(folder: Path, tmp_path: Path, cut: int) -> None:
    keys = tmp_path / "keys"
    with opened(folder, keys) as store:
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setattr("poliqi.edge.keyfile.KeyFile.append", _broken)
            with pytest.raises(StoreError):
                confirm(store, make_block(1, b"k1"))
    whole = keys.read_bytes() + (1).to_bytes(8, "little") + b"\x02" + (2).to_bytes(4, "little") + b"k1"
    keys.write_bytes(whole[:-cut])
    with opened(folder, keys):
        pass
    assert keys.read_bytes() == whole


def test_half_delivered_block_is_finished_in_its_own_file(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "old") as store:
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setattr("poliqi.edge.keyfile.KeyFile.append", _broken)
            with pytest.raises(StoreError):
                confirm(store, make_block(1, b"k1"))
    with opened(folder, tmp_path / "new"):
        pass
    assert delivered(tmp_path / "old") == [(1, b"k1")]
    assert delivered(tmp_path / "new") == []


def test_key_file_ahead_of_the_state_betrays_an_old_copy(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    with opened(folder, tmp_path / "keys") as store:
        confirm(store, make_block(1, b"k1"))
    with pytest.raises(StoreError, match="old copy"), opened(tmp_path / "copy", tmp_path / "keys"):
        pass


def test_key_file_that_was_taken_away_is_begun_anew(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "keys") as store:
        confirm(store, make_block(1, b"k1"))
    (tmp_path / "keys").rename(tmp_path / "taken")
    with opened(folder, tmp_path / "keys") as store:
        confirm(store, make_block(2, b"k2", first=34))
    assert delivered(tmp_path / "keys") == [(2, b"k2")]


def _broken(*_: object) -> None:
    raise StoreError("no space")


# ---------------------------------------------------------------- locks, damage, full disks


def test_second_process_is_refused(folder: Path) -> None:
    with opened(folder), pytest.raises(StoreError, match="in use by another process"):
        LinkStore(folder)


def test_folder_without_a_state_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="poliqi link pair"):
        LinkStore(tmp_path)


def test_open_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(StoreError, match="chmod 700"):
        LinkStore(folder)


def test_state_and_folder_are_private(folder: Path) -> None:
    assert (folder.stat().st_mode & 0o777, (folder / "link.sqlite").stat().st_mode & 0o777) == (0o700, 0o600)


def test_file_that_is_no_database_is_refused(folder: Path) -> None:
    (folder / "link.sqlite").write_bytes(b"rubbish" * 999)
    with pytest.raises(StoreError):
        LinkStore(folder)


def test_cut_database_is_refused(folder: Path) -> None:
    path = folder / "link.sqlite"
    path.write_bytes(path.read_bytes()[: 3 * 4096])
    with pytest.raises(StoreError):
        LinkStore(folder)


def test_state_of_another_version_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "link.sqlite")) as other:
        other.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="not a state of version 1 to 2"):
        LinkStore(folder)


def test_cursor_set_back_by_hand_is_noticed(folder: Path) -> None:
    with opened(folder) as store:
        store.apply([PadCursor(Role.ALICE, 9)])
    with closing(sqlite3.connect(folder / "link.sqlite")) as other:
        other.execute("UPDATE lane SET next_word = 3 WHERE sender = 'alice'")
        other.commit()
    with pytest.raises(StoreError, match="pad of alice holds other words than 3 to 32"):
        LinkStore(folder)


@pytest.mark.parametrize("rot", ["secret = x'00000000'", "origin = 'photons'", "epsilon = 0.5", "refill_bob = x''"])
def test_rotten_pending_block_is_noticed(folder: Path, rot: str) -> None:
    with opened(folder) as store:
        store.apply([make_block(1, b"good")])
    with closing(sqlite3.connect(folder / "link.sqlite")) as other:
        other.execute(f"UPDATE pending SET {rot}")
        other.commit()
    with opened(folder) as store, pytest.raises(StoreError, match="pending block 1 is damaged"):
        store.history()


def test_rotten_confirmed_block_is_never_delivered(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as store:
        confirm(store, make_block(1, b"good"))
    with closing(sqlite3.connect(folder / "link.sqlite")) as other:
        other.execute("UPDATE confirmed SET secret = x'00000000'")
        other.commit()
    with pytest.raises(StoreError, match="confirmed block 1 is damaged"), opened(folder, tmp_path / "keys"):
        pass
    assert delivered(tmp_path / "keys") == []


def test_database_error_stops_the_store_for_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    with opened(folder) as store:
        with monkeypatch.context() as patch:
            patch.setattr("poliqi.edge.store.LinkStore._write", full)
            with pytest.raises(StoreError, match="disk is full"):
                store.apply([PadCursor(Role.ALICE, 5)])
        with pytest.raises(StoreError, match="failed before"):
            store.apply([PadCursor(Role.ALICE, 6)])


def test_full_disk_keeps_what_was_durable(folder: Path) -> None:
    with closing(LinkStore(folder)) as store:
        store.apply([PadCursor(Role.ALICE, 2)])
        pages = store._state.run("PRAGMA page_count")[0][0]
        store._state.run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full"):
            store.apply([PadCursor(Role.ALICE, 3), make_block(1, bytes(1 << 20))])
    with opened(folder) as store:
        assert (store.lanes()[Role.ALICE].next_word, store.history().pending) == (2, None)


def test_block_of_another_link_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "link.sqlite")) as other:
        other.execute("UPDATE link SET link_id = 'other'")
        other.commit()
    with opened(folder) as store, pytest.raises(StoreError, match=f"block of link {LINK}"):
        store.apply([make_block(1)])
