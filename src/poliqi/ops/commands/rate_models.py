"""`poliqi rate` for protocols of which there is a rate model and nothing else: CV-QKD and the untrusted hub."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError
from poliqi.ops.plots import draw_model
from poliqi.optics.cvqkd import CvLink, CvRate, cv_at_length, cv_rate
from poliqi.optics.mdi import MdiLink, MdiRate, mdi_at_length, mdi_rate

__all__ = ["answer", "curve", "refuse", "say"]

_FARTHEST_M: Final = 500e3
_POINTS: Final = 61
_STEP_M: Final = 5e3
_WIDTH: Final = 100
_MODEL: Final = "rate model, asymptotic; no device or session of this kind here"

_CV_RESTS: Final = (
    "An endless block, collective attacks, reverse reconciliation: neither finite-size nor composable.",
    "Gaussian modulation without imperfection; heterodyne detection behind a receiver that Eve has no part in.",
    "Excess noise at the channel's input, the same at every length of the fibre.",
    "Formulas: Fossier et al., J. Phys. B 42, 114014 (2009); Lodewyck et al., Phys. Rev. A 76, 042305 (2007).",
)
_MDI_RESTS: Final = (
    "An endless block, decoys that leave nothing unknown, all pulses but a vanishing share in the key basis.",
    "Phase-randomised pulses alike in everything but what they are to say; the hub's detectors are not trusted.",
    "Dead time and afterpulses of the hub's detectors are left out.",
    "Formulas: Lo, Curty, Qi, Phys. Rev. Lett. 108, 130503 (2012); Ma, Razavi, Phys. Rev. A 86, 062319 (2012).",
)


def answer(model: CvLink | MdiLink) -> dict[str, Any]:
    """The rate and all that it comes of, as plain data: what --json prints."""
    return _cv(cv_rate(model)) if isinstance(model, CvLink) else _mdi(mdi_rate(model))


def _cv(rate: CvRate) -> dict[str, Any]:
    link = rate.link
    return {
        "name": link.name,
        "protocol": "cv-qkd",
        "model": _MODEL,
        "rate_bits_per_s": rate.rate_hz,
        "key_bits_per_symbol": rate.key_bits,
        "symbols_per_s": link.symbol_hz,
        "modulation": rate.modulation,
        "modulation_is_best": link.modulation is None,
        "transmittance": rate.transmittance,
        "mutual_bits": rate.mutual_bits,
        "holevo_bits": rate.holevo_bits,
        "reconciliation": link.reconciliation,
        "excess_noise": link.excess_noise,
        "efficiency": link.efficiency,
        "electronic_noise": link.electronic_noise,
        "assumptions": list(_CV_RESTS),
    }


def _mdi(rate: MdiRate) -> dict[str, Any]:
    link, seen = rate.link, rate.relay
    return {
        "name": link.name,
        "protocol": "mdi",
        "model": _MODEL,
        "rate_bits_per_s": rate.rate_hz,
        "key_bits_per_pulse": rate.key_bits,
        "pulses_per_s": link.clock_hz,
        "intensities": rate.intensities,
        "intensities_are_best": link.intensities is None,
        "place": link.place,
        "gain_z": seen.gain_z,
        "qber_z": seen.error_z,
        "gain_x": seen.gain_x,
        "qber_x": seen.error_x,
        "yield_11": seen.yield_11,
        "error_11": seen.error_11,
        "dark_probability": link.dark,
        "assumptions": list(_MDI_RESTS),
    }


def curve(model: CvLink | MdiLink, farthest_m: float) -> list[dict[str, float]]:
    """Rates at lengths from 0 to `farthest_m`."""
    lengths = [farthest_m * i / (_POINTS - 1) for i in range(_POINTS)]
    return [{"length_m": length, "rate_hz": _rate_hz(model, length)} for length in lengths]


def _rate_hz(model: CvLink | MdiLink, length_m: float) -> float:
    if isinstance(model, CvLink):
        return cv_rate(cv_at_length(model, length_m)).rate_hz
    return mdi_rate(mdi_at_length(model, length_m)).rate_hz


def _reach_m(model: CvLink | MdiLink) -> float:
    """A round length at which nothing is left, and beyond the link's own."""
    length = _STEP_M * math.ceil(max(1.3 * model.fibre.length_m, 20e3) / _STEP_M)
    while length < _FARTHEST_M and _rate_hz(model, length) > 0.0:
        length += _STEP_M
    return length


def say(model: CvLink | MdiLink, *, plot: str | None, farthest_m: float | None, as_json: bool) -> None:
    """Print what the model gives, and draw it against distance."""
    result = answer(model)
    if plot is not None or farthest_m is not None:
        result["against_distance"] = curve(model, farthest_m or _reach_m(model))
        if plot is not None:
            points = [(p["length_m"], p["rate_hz"]) for p in result["against_distance"]]
            own = model.fibre.length_m, result["rate_bits_per_s"]
            draw_model(points, own, model.name, f"{result['protocol']}: {_MODEL}", Path(plot))
    if as_json:
        click.echo(msgspec.json.encode(result).decode())
        return
    click.echo("\n".join([*_lines(result), "", "this rests on", *_rests(result)]))
    if plot is not None:
        click.echo(f"\nplot written to {plot}")


def refuse(options: dict[str, bool]) -> None:
    """Raise ConfigError where an option was given that means nothing to a rate model."""
    for name, given in options.items():
        if given:
            raise ConfigError(f"{name}: says nothing to a rate model ({_MODEL}); leave it out")


def _lines(r: dict[str, Any]) -> list[str]:
    head = [f"{r['name']}: {_rate(r['rate_bits_per_s'])}", f"{r['protocol']}: {_MODEL}", ""]
    if r["protocol"] == "cv-qkd":
        best = ", the best" if r["modulation_is_best"] else ""
        return [
            *head,
            f"key                {r['key_bits_per_symbol']:.6g} bits a symbol, {r['symbols_per_s']:.4g} symbols /s",
            f"mutual information {r['mutual_bits']:.6g} bits a symbol, of which {r['reconciliation']:g} are kept",
            f"Holevo bound       {r['holevo_bits']:.6g} bits a symbol",
            f"modulation         V_A = {r['modulation']:.4g} vacuum units{best}",
            f"transmittance      {r['transmittance']:.4g} of the fibre, {r['efficiency']:g} of the receiver",
            f"noise              {r['excess_noise']:g} at the input, {r['electronic_noise']:g} of the electronics",
        ]
    best = ", the best" if r["intensities_are_best"] else ""
    mu_a, mu_b = r["intensities"]
    return [
        *head,
        f"key                {r['key_bits_per_pulse']:.6g} bits a pulse, {r['pulses_per_s']:.4g} pulses /s",
        f"intensities        Alice {mu_a:.4g}, Bob {mu_b:.4g} photons a pulse{best}",
        f"hub                at {100 * r['place']:g} % of the fibre, dark counts {r['dark_probability']:.3g}",
        f"key basis          gain {r['gain_z']:.4g}, QBER {100 * r['qber_z']:.3f} %",
        f"test basis         gain {r['gain_x']:.4g}, QBER {100 * r['qber_x']:.3f} %",
        f"single photons     yield {r['yield_11']:.4g}, error {100 * r['error_11']:.3f} %",
    ]


def _rests(r: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for text in r["assumptions"]:
        lines += textwrap.wrap(f"  - {text}", _WIDTH, subsequent_indent="    ")
    return lines


def _rate(bits_per_s: float) -> str:
    if bits_per_s == 0.0:
        return "no secret key"
    unit, factor = next(((u, f) for u, f in (("Mbit/s", 1e6), ("kbit/s", 1e3)) if bits_per_s >= f), ("bit/s", 1.0))
    return f"{bits_per_s / factor:.4g} {unit} of secret key"
