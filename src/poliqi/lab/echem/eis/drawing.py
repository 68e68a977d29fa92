"""The page of a spectrum: Nyquist, Bode, Kramers-Kronig residuals, relaxation times; its numbers and cautions."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.doubt import doubted
from poliqi.lab.echem.eis.analysis import Analysis
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel

__all__ = ["page_of", "parameter_rows", "table_bytes"]

_NEAR_DECADE: Final = 0.06


def page_of(analysis: Analysis) -> Page:
    """Everything on one page."""
    spectrum, test, fit, relaxation = (
        analysis.spectrum,
        analysis.kramers_kronig,
        analysis.fit,
        analysis.relaxation,
    )
    f = spectrum.frequency_hz
    facts = [
        ("points", f"{f.size}, {f[-1]:.4g} to {f[0]:.4g} Hz"),
        ("Kramers-Kronig", f"{test.validity.value}: rms {100 * test.rms:.2g} % of |Z|"),
        ("drift in the sweep", f"{doubted(100 * test.drift, 100 * test.drift_sigma)} %"),
    ]
    if analysis.intercept_ohm is not None:
        facts.append(("Re Z where Im Z = 0", f"{analysis.intercept_ohm:.4g} ohm"))
    if spectrum.area_m2 is not None:
        facts.append(("area", f"{1e4 * spectrum.area_m2:.4g} cm2"))
    if relaxation is not None:
        facts.append(("relaxation times", f"rms {100 * relaxation.rms:.2g} % of |Z|"))
    if fit is not None:
        facts.append(("circuit", f"{fit.circuit.text}: rms {100 * fit.rms:.2g} % of |Z|"))
    panels = [
        Panel("Nyquist", lambda axes: _nyquist(axes, analysis)),
        Panel("Bode", lambda axes: _bode(axes, analysis)),
        Panel("Kramers-Kronig residuals", lambda axes: _residuals(axes, analysis)),
    ]
    if relaxation is not None and relaxation.follows:
        panels.append(Panel("Relaxation times", lambda axes: _relaxation(axes, analysis)))
    return Page(
        f"Impedance of {spectrum.title}",
        spectrum.source_format,
        facts,
        panels,
        analysis.cautions,
        parameter_rows(analysis),
        spectrum.simulated,
    )


def parameter_rows(analysis: Analysis) -> list[list[str]]:
    """The circuit's parameters with a head; values stand only where they are identified."""
    fit, area = analysis.fit, analysis.spectrum.area_m2
    if fit is None:
        return []
    whys = {verdict.name: verdict.why for verdict in fit.fitted.verdicts}
    rows = [["parameter", "value", "unit", "per area" if area else "", "remark"]]
    for name, law in fit.circuit.parameters:
        told = fit.quantity(name)
        remark = "held" if name in fit.held else f"not identified: {whys[name]}" if told is None else ""
        each = ""
        if told is not None and area and law.unit == "ohm":
            each = f"{doubted(1e4 * area * told.value, 1e4 * area * told.sigma)} ohm cm2"
        value = "-" if told is None else doubted(told.value, told.sigma or None)
        rows.append([name, value, law.unit, each, remark])
    for arc in analysis.arcs:
        for kind, one in (("tau", arc.tau_s), ("capacitance", arc.capacitance_f)):
            rows.append([f"{kind} of {arc.resistor}", doubted(one.value, one.sigma), one.unit, "", ""])
    if not area:
        rows = [row[:3] + row[4:] for row in rows]
    return rows


def table_bytes(analysis: Analysis) -> bytes:
    """Points, model and residuals as CSV, which `read_spectrum` reads; simulated ones say so in a column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    test, fit, relaxation = analysis.kramers_kronig, analysis.fit, analysis.relaxation
    heads = ["frequency/Hz", "Re(Z)/Ohm", "Im(Z)/Ohm", "Kramers-Kronig residual Re", "Kramers-Kronig residual Im"]
    z = analysis.spectrum.impedance_ohm
    columns = [analysis.spectrum.frequency_hz, z.real, z.imag, test.residual.real, test.residual.imag]
    if fit is not None:
        heads += ["circuit Re", "circuit Im"]
        columns += [fit.impedance_ohm.real, fit.impedance_ohm.imag]
    if relaxation is not None:
        heads += ["relaxation residual Re", "relaxation residual Im"]
        columns += [relaxation.residual.real, relaxation.residual.imag]
    if analysis.spectrum.is_rising:
        columns = [column[::-1] for column in columns]
    if analysis.spectrum.simulated:
        heads.append("Simulated / 1")
        columns.append(np.ones(z.size))
    writer.writerow(heads)
    writer.writerows([repr(float(cell)) for cell in row] for row in zip(*columns, strict=True))
    return out.getvalue().encode()


def _nyquist(axes: Any, analysis: Analysis) -> None:
    f, z, fit = analysis.spectrum.frequency_hz, analysis.spectrum.impedance_ohm, analysis.fit
    scale, unit = _unit(float(np.abs(z).max()))
    axes.plot(z.real / scale, -z.imag / scale, "o", ms=3.5, color=BLUE, label=_data_word(analysis))
    if fit is not None:
        dense = np.exp(np.linspace(float(np.log(f[0])), float(np.log(f[-1])), 400))
        values = [fit.held[name] if name in fit.held else fit.fitted[name] for name, _ in fit.circuit.parameters]
        model = fit.circuit.impedance(dense, np.array(values))
        axes.plot(model.real / scale, -model.imag / scale, "-", lw=1.2, color=ORANGE, label=fit.circuit.text)
    _mark_decades(axes, f, z / scale)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"Re Z / {unit}")
    axes.set_ylabel(f"-Im Z / {unit}")
    axes.legend(fontsize=8, frameon=False)


def _data_word(analysis: Analysis) -> str:
    return "simulated" if analysis.spectrum.simulated else "measured"


def _mark_decades(axes: Any, f: NDArray[np.float64], z: NDArray[np.complex128]) -> None:
    """The frequency at points near powers of ten, where there is room for words."""
    apart = 0.09 * max(float(np.ptp(z.real)), float(np.ptp(z.imag)))
    marked: list[complex] = []
    for decade in range(int(np.floor(np.log10(f[0]))), int(np.ceil(np.log10(f[-1]))) - 1, -1):
        at = int(np.argmin(np.abs(np.log10(f) - decade)))
        here = complex(z[at])
        if abs(np.log10(f[at]) - decade) > _NEAR_DECADE or any(abs(here - one) < apart for one in marked):
            continue
        marked.append(here)
        axes.plot(here.real, -here.imag, "o", ms=4.5, color=GREY)
        axes.annotate(
            _hertz(10.0**decade),
            (here.real, -here.imag),
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=7,
            color=GREY,
        )


def _bode(axes: Any, analysis: Analysis) -> None:
    f, z = analysis.spectrum.frequency_hz, analysis.spectrum.impedance_ohm
    scale, unit = _unit(float(np.abs(z).max()))
    axes.loglog(f, np.abs(z) / scale, "o", ms=3, color=BLUE)
    axes.set_xlabel("frequency / Hz")
    axes.set_ylabel(f"|Z| / {unit}", color=BLUE)
    right = axes.twinx()
    right.semilogx(f, -np.degrees(np.angle(z)), "s", ms=2.5, color=GREEN)
    right.set_ylabel("-phase / degrees", color=GREEN)
    right.grid(visible=False)
    right.spines["right"].set_visible(True)
    if analysis.fit is not None:
        model = analysis.fit.impedance_ohm
        axes.loglog(f, np.abs(model) / scale, "-", lw=1, color=ORANGE)
        right.semilogx(f, -np.degrees(np.angle(model)), "-", lw=1, color=ORANGE)
    _plain_ticks(axes, np.abs(z) / scale)


def _plain_ticks(axes: Any, modulus: NDArray[np.float64]) -> None:
    """Numbers in place of powers where there is less than a decade of them."""
    from matplotlib import ticker

    if modulus.max() < 10 * modulus.min():
        tools: Any = ticker  # its annotations are partial
        axes.yaxis.set_major_locator(tools.MaxNLocator(5))
        axes.yaxis.set_major_formatter(tools.ScalarFormatter())
        axes.yaxis.set_minor_formatter(tools.NullFormatter())


def _residuals(axes: Any, analysis: Analysis) -> None:
    f, test = analysis.spectrum.frequency_hz, analysis.kramers_kronig
    axes.axhspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    axes.semilogx(f, 100 * test.residual.real, "o-", ms=3, lw=0.7, color=BLUE, label="Re")
    axes.semilogx(f, 100 * test.residual.imag, "s-", ms=3, lw=0.7, color=GREEN, label="Im")
    axes.set_xlabel("frequency / Hz")
    axes.set_ylabel("(Z - Z_KK) / |Z|, %")
    reach = max(1.2, 110 * float(np.abs(test.residual).max()))
    axes.set_ylim(-reach, reach)
    axes.legend(fontsize=8, frameon=False, ncols=2)


def _relaxation(axes: Any, analysis: Analysis) -> None:
    found = analysis.relaxation
    assert found is not None
    scale, unit = _unit(max((peak.area_ohm for peak in found.peaks), default=1.0))
    axes.semilogx(found.tau_s, found.gamma_ohm / scale, "-", color=BLUE, lw=1.4)
    f = analysis.spectrum.frequency_hz
    for edge in (f[0], f[-1]):
        axes.axvline(1 / (2 * np.pi * edge), color=GREY, lw=0.8, ls=":")
    for peak in found.peaks:
        at = int(np.argmin(np.abs(np.log(found.tau_s / peak.tau_s))))
        words = f"{peak.area_ohm / scale:.3g}" if peak.is_closed else "open"
        axes.annotate(
            words,
            (peak.tau_s, found.gamma_ohm[at] / scale),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_xlabel("tau / s; dotted: ends of the frequencies")
    axes.set_ylabel(f"gamma / {unit}; areas as numbers")
    axes.margins(y=0.12)


def _unit(largest: float) -> tuple[float, str]:
    for scale, unit in ((1e6, "Mohm"), (1e3, "kohm"), (1.0, "ohm")):
        if largest >= scale:
            return scale, unit
    return 1e-3, "mohm"


def _hertz(value: float) -> str:
    for scale, unit in ((1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")):
        if value >= scale:
            return f"{value / scale:g} {unit}"
    return f"{1e3 * value:g} mHz"
