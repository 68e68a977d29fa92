"""Health: a modality at one site, a PACS at another (pynetdicom), gateways between them at two real sites."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import dicom_rig as rig
import numpy as np
import pytest
from click.testing import CliRunner
from live_sites import free_ports
from sector_rig import Sector, extend, sector

from poliqi.ops.cli import cli

PATIENT = "QUARTARARO^GIULIA"
IMAGES = 60

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


def set_up(city: Sector, pacs: rig.Pacs, reports: rig.Pacs) -> int:
    """Tables [dicom] of both sites; the port for modalities of Leonardo."""
    (door,) = free_ports(1)
    extend(
        city.leonardo,
        f"""
[dicom]
ae = "GW_LEONARDO"
listen = "127.0.0.1:{door}"
calling = ["CT1"]
timeout_s = 20
[[dicom.route]]
ae = "PACS_BOVISA"
to = "bovisa"
[[dicom.node]]
ae = "CT1"
address = "127.0.0.1:{reports.port}"
from = []
""",
    )
    extend(
        city.bovisa,
        f"""
[dicom]
ae = "GW_BOVISA"
timeout_s = 20
[[dicom.node]]
ae = "PACS_BOVISA"
address = "127.0.0.1:{pacs.port}"
from = ["leonardo"]
""",
    )
    return door


def hand_in(door: int, images: list[rig.Image]) -> None:
    """As a modality: what was not acknowledged is sent again, until all is."""
    end = time.monotonic() + 60.0
    while images:
        assert time.monotonic() < end
        try:
            statuses = rig.store(door, images, "PACS_BOVISA")
        except ConnectionError:
            time.sleep(0.1)
            continue
        images = [image for image, status in zip(images, statuses, strict=True) if status != 0]


def pixels(data: bytes, syntax: str) -> np.ndarray | None:
    """The picture, where pydicom alone can decode it."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    uid = UID(syntax)
    if uid.is_deflated:
        return None
    dataset = read_dataset(BytesIO(data), uid.is_implicit_VR, uid.is_little_endian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid
    if "PixelData" not in dataset or (uid.is_encapsulated and "RLE" not in uid.name):
        return None
    return dataset.pixel_array


def test_sixty_images_survive_kills_at_both_sites_and_are_committed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    names = [rig.IMAGES[i % len(rig.IMAGES)] for i in range(IMAGES)]
    images = [rig.image(name, folder, f"1.2.826.0.1.3680043.10.1.{i}", PATIENT) for i, name in enumerate(names)]
    with sector("strict") as city, rig.pacs("PACS_BOVISA", delay_s=0.02) as pacs, rig.pacs("CT1") as reports:
        door = set_up(city, pacs, reports)
        city.start()
        modality = threading.Thread(target=hand_in, args=(door, list(images)))
        modality.start()
        rig.wait_for(lambda: len(pacs.kept) >= 10)
        city.leonardo.kill()
        city.leonardo.start()
        rig.wait_for(lambda: len(pacs.kept) >= 25)
        city.bovisa.kill()
        city.bovisa.start()
        modality.join(60)
        assert not modality.is_alive()
        rig.wait_for(lambda: pacs.has(images), 60.0)
        assert rig.ask_commitment(door, images, "PACS_BOVISA") == 0
        rig.wait_for(lambda: len(reports.reports) == 1)
        said = CliRunner().invoke(cli, ["gateway", "dicom", "status", "--sae", str(city.leonardo.toml), "--json"])
        rig.wait_for(lambda: any(line["event"] == "dicom-committed" for line in city.leonardo.lines()))
        line = city.line

    # byte for byte; what was under way at a kill may have come twice, and then it was the same
    sent = {(i.class_uid, i.instance_uid, i.syntax_uid): i.data for i in images}
    assert {(i.class_uid, i.instance_uid, i.syntax_uid): i.data for i in pacs.kept} == sent
    assert len(sent) == IMAGES
    assert all(sent[i.class_uid, i.instance_uid, i.syntax_uid] == i.data for i in pacs.kept)
    times = Counter(i.instance_uid for i in pacs.kept)
    assert sum(times.values()) - IMAGES <= 4

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pictures = 0
        for got in pacs.kept:
            was = pixels(sent[got.class_uid, got.instance_uid, got.syntax_uid], got.syntax_uid)
            now = pixels(got.data, got.syntax_uid)
            assert (was is None) == (now is None)
            if was is not None and now is not None:
                np.testing.assert_array_equal(was, now)
                pictures += 1
    assert pictures >= 24

    kind, information = reports.reports[0]
    assert kind == 1
    assert {i.ReferencedSOPInstanceUID for i in information.ReferencedSOPSequence} == {
        i.instance_uid for i in images
    }
    assert json.loads(said.output)[0]["waiting"] == 0

    # the line carried all of it, and shows nothing
    assert line.seen_bytes > sum(len(i.data) for i in images)
    for marker in (PATIENT.encode(), b"1.2.826.0.1.3680043.10.1", b"PACS_BOVISA", b"1.2.840.10008", b"DICM"):
        assert not line.holds(marker)
    assert any(PATIENT.encode() in i.data for i in images)
