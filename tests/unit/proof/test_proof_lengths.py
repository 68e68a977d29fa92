"""What a length says, beyond its number."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.proof import (
    ASSUMPTIONS,
    PAPERS,
    BasisCounts,
    Counts,
    ProofName,
    bbm92_length,
    block_needed,
    exact_length,
    fitting_proofs,
    h,
    secret_length,
    shannon_leak,
)
from poliqi.proof.statistics import fung_ma_chau, hoeffding, serfling

ONE = Counts(
    (0.5, 0.15),
    (0.7, 0.3),
    BasisCounts((27653995, 3618277), (277096, 36421)),
    BasisCounts((341407, 44670), (3421, 450)),
)
TWO = Counts(
    (0.5, 0.1, 0.0005),
    (0.7, 0.2, 0.1),
    BasisCounts((27653995, 1612248, 4212), (277096, 16281, 121)),
    BasisCounts((341407, 19904, 52), (3421, 201, 1)),
)
EPS = {"epsilon_sec": 1e-9, "epsilon_cor": 1e-15}
CASES = [(ONE, ProofName.WIESEMANN), (ONE, ProofName.RUSCA), (TWO, ProofName.LIM)]


@pytest.mark.parametrize(("counts", "proof"), CASES)
def test_paper_and_assumptions_stand_beside_the_number(counts: Counts, proof: ProofName) -> None:
    got = secret_length(counts, proof=proof, leak_bits=3e6, **EPS)
    assert got.paper == PAPERS[proof]
    assert "arXiv" in got.paper
    assert got.assumptions == ASSUMPTIONS[proof]
    assert "largest length a contract could have had" in got.assumptions[0]


@pytest.mark.parametrize(("counts", "proof"), CASES)
def test_exact_length_is_the_length_before_rounding_down(counts: Counts, proof: ProofName) -> None:
    got = secret_length(counts, proof=proof, leak_bits=3e6, **EPS)
    light = exact_length(counts, proof=proof, leak_bits=3e6, **EPS)
    assert got.exact_length == light
    assert got.length == math.floor(light)


def test_each_revealed_bit_costs_one_bit() -> None:
    lengths = [secret_length(ONE, leak_bits=3_000_000 + i, **EPS).length for i in range(5)]
    assert lengths == [lengths[0] - i for i in range(5)]


def test_only_lim_is_clamped() -> None:
    assert secret_length(TWO, proof=ProofName.LIM, leak_bits=3e6, **EPS).clamped
    assert not secret_length(TWO, proof=ProofName.LIM, leak_bits=3e6, clamp=False, **EPS).clamped
    assert not secret_length(ONE, leak_bits=3e6, **EPS).clamped


def test_vacuum_is_none_where_the_proof_counts_none() -> None:
    assert secret_length(ONE, leak_bits=3e6, **EPS).vacuum is None
    assert secret_length(ONE, proof=ProofName.RUSCA, leak_bits=3e6, **EPS).vacuum == 0.0


def test_no_bound_on_the_phase_error_is_infinite_not_one_half() -> None:
    blind = replace(ONE, test=BasisCounts((0, 0), (0, 0)))
    got = secret_length(blind, leak_bits=3e6, **EPS)
    assert got.phase_error == math.inf
    assert got.reason is not None
    assert got.reason.startswith("s1_T <= 0")


def test_phase_error_above_one_half_is_shown_as_it_is() -> None:
    noisy = replace(ONE, test=BasisCounts((341407, 44670), (45000, 5900)))
    got = secret_length(noisy, leak_bits=0, **EPS)
    assert got.phase_error > 0.5
    assert (got.length, got.reason is not None) == (0, True)
    assert got.exact_length < 0


def test_zero_test_errors_do_not_make_the_phase_error_vanish() -> None:
    clean = replace(ONE, test=BasisCounts((341407, 44670), (0, 0)))
    got = secret_length(clean, proof=ProofName.RUSCA, leak_bits=3e6, **EPS)
    assert got.phase_error > 1 / got.single_photon_test


def test_counts_that_promise_more_single_photons_than_detections_give_no_key() -> None:
    swapped = replace(ONE, key=BasisCounts(ONE.key.detections[::-1], ONE.key.errors[::-1]))
    got = secret_length(swapped, leak_bits=0, **EPS)
    assert got.single_photon_key > got.leak_bits + sum(ONE.key.detections)
    assert got.reason is not None
    assert got.reason.startswith("counts contradict the source")


@pytest.mark.parametrize(
    "errors",
    [(math.nan, 1.0), (math.inf, 1.0), (-1.0, 1.0), (28e6, 1.0)],
    ids=["nan", "inf", "negative", "too many"],
)
def test_counts_are_refused_when_they_are_made(errors: tuple[float, float]) -> None:
    with pytest.raises(DataRefused, match=r"key\.errors"):
        replace(ONE, key=BasisCounts((27653995, 3618277), errors))


@pytest.mark.parametrize("option", [{"epsilon_sec": math.nan}, {"epsilon_cor": 0.0}, {"leak_bits": math.nan}])
def test_options_out_of_range_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        secret_length(ONE, **{"leak_bits": 1.0, **EPS, **option})


def test_bbm92_is_not_a_decoy_proof() -> None:
    with pytest.raises(ConfigError, match="bbm92 is for entangled pairs"):
        secret_length(ONE, proof=ProofName.BBM92, leak_bits=1.0, **EPS)


def test_fitting_proofs() -> None:
    assert fitting_proofs(ONE) == (ProofName.WIESEMANN, ProofName.RUSCA)
    assert fitting_proofs(TWO) == (ProofName.LIM,)


def test_shannon_leak_by_hand() -> None:
    counts = Counts((0.5, 0.1), (0.5, 0.5), BasisCounts((800, 200), (90, 20)), BasisCounts((1, 1), (0, 0)))
    assert shannon_leak(counts, 1.2) == pytest.approx(1.2 * 1000 * 0.499915958164528, abs=1e-9)


def test_shannon_leak_of_nothing_is_nothing() -> None:
    empty = replace(ONE, key=BasisCounts((0, 0), (0, 0)))
    assert shannon_leak(empty, 1.2) == 0.0


class TestStatistics:
    @pytest.mark.parametrize(("x", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.11, 0.499915958164528)])
    def test_entropy(self, x: float, bits: float) -> None:
        assert h(x) == pytest.approx(bits, abs=1e-15)

    def test_hoeffding(self) -> None:
        assert hoeffding(1000, math.log(1e6)) == pytest.approx(83.11290681, abs=1e-8)

    def test_fung_ma_chau(self) -> None:
        # the same function in the formal-qkd project, its e being 19 times smaller than its first argument
        assert fung_ma_chau(0.1, 0.1, 0.1, math.log(190.0)) == pytest.approx(7.717529454187349, abs=1e-12)

    def test_fung_ma_chau_gives_way_to_serfling_where_its_logarithm_is_negative(self) -> None:
        assert fung_ma_chau(0.5, 1e15, 1e15, 1e-6) == serfling(1e15, 1e15, 1e-6)

    def test_serfling_by_hand(self) -> None:
        # (4 + 1)/(4 * 1) * (1 + 1)/1 * ln(1/e) = 2.5 for e = 1/exp(1)
        assert serfling(4.0, 1.0, 1.0) == pytest.approx(math.sqrt(2.5), abs=1e-15)


class TestIntensityBox:
    @pytest.mark.parametrize(("counts", "proof"), CASES)
    def test_no_point_of_a_fine_grid_gives_less(self, counts: Counts, proof: ProofName) -> None:
        got = secret_length(counts, proof=proof, leak_bits=1e6, intensity_uncertainty=0.02, **EPS)
        steps = [0.98, 0.9853, 0.9901, 0.997, 1.0, 1.0049, 1.0123, 1.0177, 1.02]
        grid = product(*[[mu * s for s in steps] for mu in counts.intensities])
        least = min(exact_length(replace(counts, intensities=at), proof=proof, leak_bits=1e6, **EPS) for at in grid)
        assert got.exact_length <= least
        assert got.length > 0

    def test_the_worst_intensities_are_used_in_every_factor(self) -> None:
        got = secret_length(ONE, leak_bits=3e6, intensity_uncertainty=0.02, **EPS)
        there = secret_length(replace(ONE, intensities=got.intensities), leak_bits=3e6, **EPS)
        assert got.exact_length == there.exact_length
        assert got.phase_error == there.phase_error

    @pytest.mark.parametrize(
        ("counts", "proof", "corner"),
        [
            (ONE, ProofName.WIESEMANN, (0.98, 1.02)),
            (ONE, ProofName.RUSCA, (0.98, 1.02)),
            (TWO, ProofName.LIM, (0.98, 1.02, 0.98)),
        ],
    )
    def test_honest_light_is_worst_with_a_weak_signal_and_a_bright_decoy(
        self, counts: Counts, proof: ProofName, corner: tuple[float, ...]
    ) -> None:
        got = secret_length(counts, proof=proof, leak_bits=1e6, intensity_uncertainty=0.02, **EPS)
        assert got.intensities == pytest.approx([m * c for m, c in zip(counts.intensities, corner, strict=True)])

    def test_a_certain_source_has_a_box_of_one_point(self) -> None:
        certain = secret_length(ONE, leak_bits=3e6, intensity_uncertainty=0.0, **EPS)
        assert certain.exact_length == secret_length(ONE, leak_bits=3e6, **EPS).exact_length

    def test_a_wider_box_never_gives_more(self) -> None:
        widths = [0.0, 0.001, 0.01, 0.02, 0.05, 0.1]
        lengths = [secret_length(ONE, leak_bits=3e6, intensity_uncertainty=u, **EPS).length for u in widths]
        assert lengths == sorted(lengths, reverse=True)

    def test_a_minimum_inside_the_box_is_found(self) -> None:
        from poliqi.proof.intensity import lowest_point

        def bowl(at: tuple[float, ...]) -> float:
            return (at[0] - 0.513) ** 2 + 3.0 * (at[1] - 0.1421) ** 2 + at[0] * at[1] / 100.0

        found = lowest_point(bowl, ((0.49, 0.53), (0.14, 0.15)))
        # gradient zero: 2 (x - 0.513) + y/100 = 0 and 6 (y - 0.1421) + x/100 = 0
        assert found == pytest.approx((0.5122937, 0.1412462), abs=1e-6)

    def test_the_assumption_is_stated(self) -> None:
        got = secret_length(ONE, leak_bits=3e6, intensity_uncertainty=(0.01, 0.02), **EPS)
        assert "+-1, 2 %" in got.assumptions[-1]


class TestBlockNeeded:
    SMALL = Counts(
        (0.5, 0.15), (0.7, 0.3), BasisCounts((27654, 3618), (277, 36)), BasisCounts((3414, 447), (34, 5))
    )

    def test_one_where_there_is_a_key(self) -> None:
        assert block_needed(ONE, leak_bits=3e6, **EPS) == 1.0

    def test_the_factor_is_where_the_key_begins(self) -> None:
        factor = block_needed(self.SMALL, leak_bits=3000, **EPS)
        assert factor is not None

        def key(by: float) -> bool:
            grown = replace(self.SMALL, key=self.SMALL.key.scaled(by), test=self.SMALL.test.scaled(by))
            return secret_length(grown, leak_bits=3000 * by, **EPS).length > 0

        assert key(factor)
        assert not key(factor * 0.998)

    def test_none_where_the_leak_takes_all_at_any_length(self) -> None:
        assert block_needed(self.SMALL, leak_bits=20000, **EPS) is None

    def test_none_where_nothing_was_detected(self) -> None:
        empty = replace(self.SMALL, test=BasisCounts((0, 0), (0, 0)))
        assert block_needed(empty, leak_bits=3000, **EPS) is None


PAIRS = {
    "key_bits": 1e6,
    "test_bits": 1e5,
    "tolerated_error": 0.02,
    "leak_bits": 160000.0,
    "epsilon_sec": 1e-10,
    "epsilon_cor": 1e-15,
}


class TestBbm92:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"key_bits": 0}, "no rounds"),
            ({"test_bits": 0}, "no rounds"),
            ({"test_bits": 50}, "phi >= 1/2"),
            ({"tolerated_error": 0.49}, "phi >= 1/2"),
            ({"leak_bits": 900000.0}, "leak exceeds"),
            ({"test_errors": 2001}, "test errors above Q_tol"),
        ],
    )
    def test_no_key(self, change: dict[str, float], reason: str) -> None:
        got = bbm92_length(**{**PAIRS, **change})
        assert got.length == 0
        assert got.reason is not None
        assert got.reason.startswith(reason)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"key_bits": -1}, DataRefused),
            ({"test_bits": math.nan}, DataRefused),
            ({"test_errors": 1e6}, DataRefused),
            ({"tolerated_error": 0.5}, ConfigError),
            ({"tolerated_error": -0.1}, ConfigError),
            ({"leak_bits": math.inf}, ConfigError),
            ({"epsilon_sec": 1.5}, ConfigError),
        ],
    )
    def test_refused(self, change: dict[str, float], error: type[Exception]) -> None:
        with pytest.raises(error, match=next(iter(change))):
            bbm92_length(**{**PAIRS, **change})

    def test_as_many_errors_as_tolerated_are_accepted(self) -> None:
        assert bbm92_length(**PAIRS, test_errors=2000).length == 614408

    def test_reaches_one_minus_two_h_for_long_blocks(self) -> None:
        n = 1e15
        got = bbm92_length(
            key_bits=n,
            test_bits=n / 100,
            tolerated_error=0.05,
            leak_bits=n * h(0.05),
            epsilon_sec=1e-10,
            epsilon_cor=1e-15,
        )
        assert got.length / n == pytest.approx(1 - 2 * 0.28639695711595625, abs=1e-4)
