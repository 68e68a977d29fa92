"""Which circuit a spectrum asks for.

Circuits compete by the Bayesian information criterion (Schwarz, Ann. Stat. 6, 461, 1978),
2 n ln(chi^2 / 2 n) + k ln 2 n; one with a parameter that the spectrum does not tell comes after all that have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.circuit import Circuit, parse_circuit
from poliqi.lab.echem.eis.circuitfit import CircuitFit, fit_circuit
from poliqi.lab.echem.eis.relaxation import Relaxation
from poliqi.lab.echem.eis.seeding import candidates, variants
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["chosen_circuit"]

_NEAR_ONE: Final = 0.998
_LOOKED_AT: Final = 3


def chosen_circuit(
    spectrum: Spectrum, relaxation: Relaxation, texts: Sequence[str] = ()
) -> tuple[CircuitFit, tuple[CircuitFit, ...]]:
    """The circuit of the least criterion, and all that were tried, best first; of `texts`, or of the peaks.

    Those with a parameter that the spectrum does not tell come last; a constant phase element that is a capacitor
    is made one. Raises as `fit_circuit`.
    """
    wanted = texts or candidates(spectrum, relaxation)
    tried = _tried(spectrum, relaxation, wanted)
    if not texts and tried:
        best = min(tried, key=_rank)
        tried += _tried(spectrum, relaxation, variants(best.circuit.text, wanted))
    if not tried:
        raise DataRefused(
            f"{spectrum.title!r}: {spectrum.frequency_hz.size} frequencies are too few for any of the circuits"
        )
    ranked = sorted(tried, key=_rank)
    looked_at: list[CircuitFit] = []
    for one in ranked[:_LOOKED_AT]:
        looked_at.append(fit_circuit(spectrum, one.circuit, relaxation))
        if looked_at[-1].is_identified:
            break
    best = min(looked_at, key=_rank)
    closer = {one.circuit.text: one for one in looked_at}
    every = (closer.get(one.circuit.text, one) for one in ranked)
    return best, (best, *(one for one in every if one.circuit.text != best.circuit.text))


def _rank(fit: CircuitFit) -> tuple[bool, float]:
    return not fit.is_identified, fit.criterion


def _tried(spectrum: Spectrum, relaxation: Relaxation, texts: Sequence[str]) -> list[CircuitFit]:
    tried: list[CircuitFit] = []
    for text in texts:
        circuit = parse_circuit(text)
        if 2 * spectrum.frequency_hz.size <= len(circuit.parameters):
            continue
        fit = fit_circuit(spectrum, circuit, relaxation, is_rough=True)
        if (simpler := _simpler(fit)) is not None:
            fit = fit_circuit(spectrum, simpler, relaxation, is_rough=True)
        tried.append(fit)
    return tried


def _simpler(fit: CircuitFit) -> Circuit | None:
    """The circuit without an inductance that does not show, with C for exponents of 1; None where that is it.

    None too for a circuit with numbers, whose names need not count from the left.
    """
    if any(sign.isdigit() for sign in fit.circuit.text):
        return None
    ideal = [
        name
        for name, element in zip(fit.circuit.names, fit.circuit.elements, strict=True)
        if element.name == "CPE" and fit.fitted[f"{name}_n"] > _NEAR_ONE
    ]
    parts = fit.circuit.text.split("CPE")
    kinds = ["C" if f"CPE{nth}" in ideal else "CPE" for nth in range(1, len(parts))]
    text = "".join(a + b for a, b in zip(parts, [*kinds, ""], strict=True))
    if "L1" in fit.fitted.unidentified:
        text = text.removeprefix("L-")
    return None if text == fit.circuit.text else parse_circuit(text)
