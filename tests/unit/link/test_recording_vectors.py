"""The published vectors of the event format; they are written from the specification alone."""

import importlib.util
import json
from pathlib import Path

import pytest

from poliqi.base.errors import DataRefused
from poliqi.link.binary import Header, decode_recording, encode_header

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "events"
CASES = json.loads((VECTORS / "binary.json").read_text())["cases"]
VALID = [case for case in CASES if case["valid"]]
REFUSED = [case for case in CASES if not case["valid"]]


def named(case):
    return case["name"]


def test_failures_outnumber_successes():
    assert len(REFUSED) > 5 * len(VALID)


def test_the_file_is_what_its_generator_writes(tmp_path):
    spec = importlib.util.spec_from_file_location("generate_event_vectors", VECTORS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__file__ = str(tmp_path / "generate.py")
    module.main()
    assert (tmp_path / "binary.json").read_text() == (VECTORS / "binary.json").read_text()


@pytest.mark.parametrize("case", VALID, ids=named)
def test_a_valid_file_is_read(case):
    recording = decode_recording(bytes.fromhex(case["hex"]))
    light, link = recording.light, case["link"]
    assert light.origin == case["origin"]
    assert light.levels == case["levels"]
    assert light.clock_hz == case["clock_hz"]
    assert recording.pulses == int(case["pulses"])
    assert recording.slots.tolist() == [int(slot) for slot in case["slots"]]
    assert recording.states.tolist() == case["states"]
    assert recording.outcomes.tolist() == case["outcomes"]
    if link is None:
        assert light.link is None
        return
    assert light.link.name == link["name"]
    assert list(light.link.intensities) == link["intensities"]
    assert list(light.link.probabilities) == link["probabilities"]
    assert light.link.key_basis_alice == link["key_basis_alice"]
    assert light.link.key_basis_bob == link["key_basis_bob"]
    assert light.link.seed == (None if link["seed"] is None else int(link["seed"]))
    assert light.link.eve == link["eve"]


@pytest.mark.parametrize("case", VALID, ids=named)
def test_a_header_is_written_as_the_specification_says(case):
    data = bytes.fromhex(case["hex"])
    recording = decode_recording(data)
    checksums = tuple(int.from_bytes(data[at : at + 4], "little") for at in (72, 76, 80))
    written = encode_header(Header(recording.light, recording.pulses, recording.slots.size, checksums))
    length = int.from_bytes(data[12:16], "little")
    assert written == data[:length]


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_an_invalid_file_is_refused_with_its_reason(case):
    with pytest.raises(DataRefused) as refusal:
        decode_recording(bytes.fromhex(case["hex"]))
    message = str(refusal.value)
    assert case["says"] in message
    assert message.isprintable()
    assert len(message) < 400


def test_metadata_beyond_its_limit_is_refused():
    """65537 bytes in a file whose lengths and checksums all agree."""
    spec = importlib.util.spec_from_file_location("generate_event_vectors", VECTORS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    within, beyond = (module.build(text=json.dumps(module.LINK).encode().ljust(size)) for size in (65536, 65537))
    assert decode_recording(within).light.link.name == "bench"
    with pytest.raises(DataRefused, match="65536"):
        decode_recording(beyond)
