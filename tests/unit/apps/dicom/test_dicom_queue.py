"""The queue by itself: what is durable, what a crash leaves, what is counted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from poliqi.apps.dicom.images import Answer, Head, Outcome, Stage
from poliqi.apps.dicom.queue import NoRoom, Queue
from poliqi.apps.dicom.store import Store
from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import SaeId

HEAD = Head("PACS", "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
THERE = SaeId("there")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(Store(tmp_path / "dicom"), 1_000_000, lambda: 1000.0)


def put(queue: Queue, data: bytes = b"image", instance: str = "1.2.3", ae: str = "PACS") -> str:
    head = Head(ae, HEAD.class_uid, instance, HEAD.syntax_uid)
    return queue.take(head, THERE, "CT1", b"preface", memoryview(data))


def test_an_image_is_a_private_file_with_its_preface(queue: Queue) -> None:
    path = queue.path(put(queue, b"pixels"))
    assert path.read_bytes() == b"prefacepixels"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (held,) = queue.waiting(THERE)
    with queue.open(held) as file:
        assert file.read() == b"pixels"


def test_images_wait_in_the_order_in_which_they_came(queue: Queue) -> None:
    names = [put(queue, bytes([i]), f"1.{i}") for i in range(5)]
    assert [image.id for image in queue.waiting(THERE)] == names
    assert queue.waiting(SaeId("elsewhere")) == []


def test_titles_that_rest_are_left_out(queue: Queue) -> None:
    put(queue, b"a", "1.1", "PACS")
    other = put(queue, b"b", "1.2", "ARCHIVE")
    assert [image.id for image in queue.waiting(THERE, ["PACS"])] == [other]


def test_the_same_image_that_still_waits_is_kept_once(queue: Queue) -> None:
    first = put(queue, b"same")
    assert put(queue, b"same") == first
    assert put(queue, b"corrected") != first
    assert len(queue.waiting(THERE)) == 2


def test_the_same_image_after_its_delivery_is_sent_again(queue: Queue) -> None:
    first = put(queue, b"same")
    queue.settle(Answer(first, Outcome.DELIVERED, 0))
    assert put(queue, b"same") != first


def test_a_delivered_image_leaves_no_file(queue: Queue) -> None:
    name = put(queue)
    queue.settle(Answer(name, Outcome.DELIVERED, 0))
    assert not queue.path(name).exists()
    assert queue.waiting(THERE) == []
    assert queue.newest("PACS", ["1.2.3"])["1.2.3"].stage is Stage.DELIVERED


def test_later_leaves_it_waiting_with_the_reason(queue: Queue) -> None:
    name = put(queue)
    queue.settle(Answer(name, Outcome.LATER, 0xA700, "no room"))
    (held,) = queue.waiting(THERE)
    assert (held.id, held.status, held.said) == (name, 0xA700, "no room")


def test_an_answer_to_what_is_settled_changes_nothing(queue: Queue) -> None:
    name = put(queue)
    queue.settle(Answer(name, Outcome.DELIVERED, 0))
    queue.settle(Answer(name, Outcome.REFUSED, 0xC000, "late"))
    assert queue.newest("PACS", ["1.2.3"])["1.2.3"].stage is Stage.DELIVERED


def test_refused_images_can_wait_again_or_be_discarded(queue: Queue) -> None:
    names = [put(queue, bytes([i]), f"1.{i}") for i in range(2)]
    for name in names:
        queue.settle(Answer(name, Outcome.REFUSED, 0xC000, "no"))
    with pytest.raises(DataRefused, match="2 refused"):
        queue.discard("")
    assert queue.discard(names[0]).id == names[0]
    assert not queue.path(names[0]).exists()
    assert queue.retry() == 1
    assert [image.id for image in queue.waiting(THERE)] == names[1:]


def test_a_waiting_image_cannot_be_discarded(queue: Queue) -> None:
    with pytest.raises(DataRefused):
        queue.discard(put(queue))


def test_more_than_the_queue_may_hold_is_refused_and_leaves_nothing(queue: Queue) -> None:
    put(queue, bytes(600_000), "1.1")
    with pytest.raises(NoRoom, match="queue_mb"):
        put(queue, bytes(600_000), "1.2")
    assert len(list((queue.path("x").parent).iterdir())) == 1


def test_a_disk_that_cannot_be_written_refuses_and_leaves_nothing(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space"):
        put(queue)
    assert list(queue.path("x").parent.iterdir()) == []
    assert queue.waiting(THERE) == []


def test_recovery_deletes_what_nobody_was_told_of(queue: Queue) -> None:
    kept = put(queue)
    folder = queue.path(kept).parent
    (folder / "0123.part").write_bytes(b"half")
    (folder / "4567.dcm").write_bytes(b"whole, without a row")
    assert queue.recover() == 2
    assert [path.name for path in folder.iterdir()] == [f"{kept}.dcm"]


def test_recovery_tells_of_a_file_that_is_gone(queue: Queue) -> None:
    name = put(queue)
    queue.path(name).unlink()
    queue.recover()
    (held,) = queue.held(Stage.REFUSED)
    assert (held.id, held.said) == (name, "its file is gone from the queue")


def test_recovery_deletes_the_file_of_a_delivery_that_was_cut(queue: Queue) -> None:
    name = put(queue)
    data = queue.path(name).read_bytes()
    queue.settle(Answer(name, Outcome.DELIVERED, 0))
    queue.path(name).write_bytes(data)
    assert queue.recover() == 1


def test_a_queue_outlives_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "dicom")
    name = put(Queue(store, 1_000_000))
    store.close()
    again = Queue(Store(tmp_path / "dicom"), 1_000_000)
    assert again.recover() == 0
    assert [image.id for image in again.waiting(THERE)] == [name]


def test_counts_by_title(queue: Queue) -> None:
    put(queue, b"12345", "1.1")
    done = put(queue, b"x", "1.2")
    queue.settle(Answer(done, Outcome.DELIVERED, 0))
    (counts,) = queue.counts()
    found = counts.ae, counts.waiting, counts.waiting_bytes, counts.refused, counts.delivered, counts.oldest_s
    assert found == ("PACS", 1, 5, 0, 1, 1000.0)


def test_old_deliveries_are_forgotten(queue: Queue) -> None:
    done = put(queue, b"x", "1.2")
    queue.settle(Answer(done, Outcome.DELIVERED, 0))
    put(queue, b"y", "1.3")
    assert queue.forget(999.0) == 0
    assert queue.forget(1001.0) == 1
    assert len(queue.waiting(THERE)) == 1


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.change("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(StoreError, match="version 9"):
        Store(tmp_path)


def test_looking_at_a_queue_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="never run here"):
        Store(tmp_path / "dicom", may_make=False)
    assert not (tmp_path / "dicom").exists()
