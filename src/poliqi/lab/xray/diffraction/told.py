"""Results as plain data for JSON, and as findings that other tools read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from poliqi.lab.store.findings import Finding, Findings
from poliqi.lab.xray.diffraction.candidates import Candidate, Identification
from poliqi.lab.xray.diffraction.microstructure import Microstructure
from poliqi.lab.xray.diffraction.peaks import Peak
from poliqi.lab.xray.diffraction.refinement import SIGMA_COVERS, Fit, Quantity

__all__ = ["answer_of_fit", "answer_of_identification", "answer_of_peaks", "findings_of_fit", "quoted"]

_PROGRAM: Final = "poliqi lab xray xrd"
_WIDTH_COVERS: Final = f"{SIGMA_COVERS}; not the standard's own, nor the shape of crystallites"


def quoted(quantity: Quantity | None, digits: int = 2) -> str:
    """Value with its sigma in the last places, as tables of crystallography write it: 10.25121(4)."""
    if quantity is None:
        return "-"
    value, sigma = quantity.value, quantity.sigma
    if sigma is None or not sigma > 0:
        return f"{value:.6g}"
    places = max(digits - 1 - math.floor(math.log10(sigma)), 0)
    rounded = round(sigma * 10**places)
    if rounded >= 10**digits and places > 0:
        places -= 1
        rounded = round(sigma * 10**places)
    return f"{value:.{places}f}({rounded})" if places else f"{value:.0f}({sigma:.0f})"


def _pair(quantity: Quantity | None) -> dict[str, float | None] | None:
    return None if quantity is None else {"value": quantity.value, "sigma": quantity.sigma}


def answer_of_peaks(peaks: Sequence[Peak]) -> list[dict[str, Any]]:
    """One mapping a peak."""
    return [
        {
            "two_theta_deg": _pair(peak.two_theta_deg),
            "d_angstrom": _pair(peak.d_angstrom),
            "fwhm_deg": _pair(peak.fwhm_deg),
            "integral_breadth_deg": _pair(peak.breadth_deg),
            "area": _pair(peak.area),
            "gauss_share": peak.gauss_share,
            "chi_squared_reduced": peak.goodness,
            "fitted_together_with": peak.together_with,
        }
        for peak in peaks
    ]


def answer_of_identification(found: Identification) -> dict[str, Any]:
    """The sets, what was passed over, and what nothing explains."""
    return {
        "peaks": len(found.peaks),
        "sets": [[_candidate(each) for each in one] for one in found.sets],
        "unexplained_two_theta_deg": list(found.unexplained),
        "passed_over": [{"file": file, "why": why} for file, why in found.passed_over],
    }


def _candidate(each: Candidate) -> dict[str, Any]:
    return {
        "file": None if each.path is None else each.path.name,
        "name": each.name,
        "formula": each.formula,
        "space_group": each.space_group,
        "merit": each.merit,
        "seen": each.seen,
        "explained": each.explained,
        "strain": each.strain,
        "lines_with_a_peak": each.lines,
        "lines_in_range": each.of_lines,
    }


def answer_of_fit(fit: Fit, micro: Sequence[Microstructure] = ()) -> dict[str, Any]:
    """A fit without its arrays."""
    by_phase = {each.phase: each for each in micro}
    return {
        "method": fit.method.value,
        "usable": fit.usable,
        "rwp": fit.rwp,
        "rexp": fit.rexp,
        "goodness_of_fit": fit.goodness,
        "sigma_covers": SIGMA_COVERS,
        "sigma_inflation": fit.esd_inflation,
        "phases": [
            {
                "name": phase.name,
                "lattice": {name: _pair(quantity) for name, quantity in phase.lattice.items()},
                "volume_angstrom3": _pair(phase.volume_angstrom3),
                "weight_fraction": _pair(phase.weight_fraction),
                "r_bragg": phase.r_bragg,
                "crystallite": _crystallite(by_phase.get(phase.name)),
            }
            for phase in fit.phases
        ],
        "is_simulated": fit.simulated,
        "cautions": list(fit.cautions),
    }


def _crystallite(one: Microstructure | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "column_length_nm": _pair(one.size_nm),
        "column_length_above_nm": one.size_above_nm,
        "strain": _pair(one.strain),
        "strain_below": one.strain_below,
    }


def findings_of_fit(fit: Fit, micro: Sequence[Microstructure] = ()) -> Findings:
    """Lattices, volumes, shares, sizes and strains, each under `name@phase`."""
    found: list[Finding] = []
    method = {"rietveld": "Rietveld", "lebail": "Le Bail", "pawley": "Pawley"}[fit.method.value]
    for phase in fit.phases:
        for name, quantity in phase.lattice.items():
            unit = "A" if len(name) == 1 else "deg"
            found.append(_finding(f"lattice_{name}@{phase.name}", quantity, unit, method, SIGMA_COVERS))
        found.append(_finding(f"volume@{phase.name}", phase.volume_angstrom3, "A3", method, SIGMA_COVERS))
        if phase.weight_fraction is not None:
            share = phase.weight_fraction
            found.append(_finding(f"weight_fraction@{phase.name}", share, "1", method, SIGMA_COVERS))
    words = f"{method}, whole pattern against a standard"
    for one in micro:
        if one.size_nm is not None:
            how = f"{words}; volume-weighted column length"
            found.append(_finding(f"crystallite_size@{one.phase}", one.size_nm, "nm", how, _WIDTH_COVERS))
        if one.strain is not None:
            how = f"{words}; integral breadth / (4 tan theta)"
            found.append(_finding(f"strain@{one.phase}", one.strain, "1", how, _WIDTH_COVERS))
    return Findings(tuple(found), _PROGRAM, fit.title, fit.simulated, fit.cautions)


def _finding(name: str, quantity: Quantity, unit: str, method: str, covers: str) -> Finding:
    return Finding(name, quantity.value, unit, quantity.sigma, method, covers if quantity.sigma is not None else "")
