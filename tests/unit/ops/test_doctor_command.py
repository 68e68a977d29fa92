"""`poliqi doctor` and the width of the kernels."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from poliqi.base import jit
from poliqi.base.errors import ConfigError
from poliqi.distill.kernels.polyval import PolyHash
from poliqi.ops.cli import cli


@pytest.fixture(autouse=True)
def widest_afterwards() -> object:
    yield
    jit.choose_width(None)


@pytest.mark.slow
def test_doctor_checks_every_width_that_the_processor_has() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["kernels"]["faults"] == {str(each): None for each in jit.widths()}
    assert found["kernels"]["width"] == jit.widths()[-1]
    assert found["speed"]["hash_gb_s"] > 0


@pytest.mark.slow
def test_doctor_names_a_width_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PolyHash, "digest_with_length", lambda self: bytes(16))
    result = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "portable  COMPUTES WRONGLY: polynomial hash" in result.output


def test_the_environment_forces_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLIQI_KERNELS", "portable")
    CliRunner().invoke(cli, ["rate", "--help"], catch_exceptions=False)
    assert jit.width() is jit.Width.PORTABLE


def test_a_width_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="'wide' is not to be had"):
        jit.choose_width("wide")


def test_a_width_needs_the_features_of_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    features = {"pclmul": True, "vpclmulqdq": True, "avx512f": False}
    monkeypatch.setattr(jit, "_features", lambda: features)
    jit.widths.cache_clear()
    try:
        assert jit.widths() == (jit.Width.PORTABLE, jit.Width.PCLMUL)
    finally:
        jit.widths.cache_clear()
