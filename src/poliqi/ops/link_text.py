"""A link's parameters as the text of a LINK.toml."""

from __future__ import annotations

from typing import Any

from poliqi.ops.toml_text import toml_text
from poliqi.optics.parameters import AttackKind, Detector, LinkParameters, Receiver, Source

__all__ = ["link_text"]


def link_text(link: LinkParameters, note: str = "") -> str:
    """What `poliqi.ops.config.read_link` reads as this link."""
    s, f, r, d, b, i = link.source, link.fibre, link.receiver, link.detector, link.block, link.instruments
    return toml_text(
        {
            "name": link.name,
            "note": note,
            "source": _source(s, is_pairs=link.pairs is not None),
            "pairs": _pairs(link),
            "fibre": {
                "length": f"{f.length_m!r} m",
                "attenuation": f"{f.attenuation_db_per_km!r} dB/km",
                "connectors": f"{f.connectors_db!r} dB",
                "mux": f"{f.mux_db!r} dB",
                "switch": f"{f.switch_db!r} dB",
                "dispersion": f"{f.dispersion_ps_nm_km!r} ps/(nm km)",
            },
            "receiver": _receiver(r),
            "detector": _detector(d),
            "block": {
                "sifted_key": b.sifted_key,
                "proof": b.proof.value,
                "clamp": b.clamp,
                "epsilon_sec": b.epsilon_sec,
                "epsilon_cor": b.epsilon_cor,
                "leak_model": b.leak_model.value,
                "efficiency": b.efficiency,
                "intensity_uncertainty": b.intensity_uncertainty,
                "tolerated_error": b.tolerated_error,
            },
            "instruments": {
                "click_charge": f"{i.click_charge_c!r} C",
                "blinded_current": f"{i.blinded_current_a!r} A",
                "current_noise": f"{i.current_noise_a!r} A",
                "mismatch": i.mismatch,
                "mismatch_time": None if i.mismatch_time_s is None else f"{i.mismatch_time_s!r} s",
                "time_resolution": f"{i.time_resolution_s!r} s",
                "time_noise": f"{i.time_noise_s!r} s",
                "pilot_noise": f"{i.pilot_noise_db!r} dB",
                "isolation": f"{i.isolation_db!r} dB",
                "back_light_noise": f"{i.back_light_noise_w!r} W",
            },
            "attack": None
            if link.attack.kind is AttackKind.NONE
            else {
                "kind": link.attack.kind.value,
                "fraction": link.attack.fraction,
                "key_basis": link.attack.key_basis,
            },
            "classical_channel": [
                {
                    "launch": f"{c.launch_dbm!r} dBm",
                    "direction": c.direction.value,
                    "rho": f"{c.rho_per_km_nm!r} /(nm km)",
                }
                for c in link.classical_channels
            ],
        }
    )


def _source(source: Source, *, is_pairs: bool) -> dict[str, Any]:
    weak = (
        {} if is_pairs else {"intensities": list(source.intensities), "probabilities": list(source.probabilities)}
    )
    return {
        "clock": f"{source.clock_hz!r} Hz",
        **weak,
        "key_basis": source.key_basis,
        "intensity_noise": source.intensity_noise,
        "pulse_fwhm": f"{source.pulse_fwhm_s!r} s",
        "wavelength": f"{source.wavelength_m!r} m",
        "linewidth": f"{source.linewidth_m!r} m",
    }


def _pairs(link: LinkParameters) -> dict[str, Any] | None:
    p = link.pairs
    if p is None:
        return None
    return {
        "mean": link.source.intensities[0],
        "statistics": p.statistics.value,
        "place": p.place,
        "visibility_key": p.visibility_key,
        "visibility_test": p.visibility_test,
        "receiver": None if p.receiver is None else _receiver(p.receiver),
        "detector": None if p.detector is None else _detector(p.detector),
    }


def _receiver(r: Receiver) -> dict[str, Any]:
    return {
        "error_key": r.error_key,
        "error_test": r.error_test,
        "front_end": r.front_end.value,
        "basis_choice": r.basis_choice.value,
        "key_basis": r.key_basis,
        "loss": f"{r.loss_db!r} dB",
        "test_loss": f"{r.test_loss_db!r} dB",
        "filter_loss": f"{r.filter_db!r} dB",
        "filter_width": f"{r.filter_width_m!r} m",
        "drift": f"{r.drift_rad_per_sqrt_s!r} rad/sqrt(s)",
        "tracking_time": f"{r.tracking_time_s!r} s",
    }


def _detector(d: Detector) -> dict[str, Any]:
    return {
        "kind": d.kind.value,
        "efficiency": d.efficiency,
        "dark_rate": f"{d.dark_rate_hz!r} Hz",
        "dark_per_gate": d.dark_per_gate,
        "dead_time": f"{d.dead_time_s!r} s",
        "dead_time_model": d.dead_time_model.value,
        "pixels": d.pixels,
        "afterpulse": d.afterpulse,
        "afterpulse_time": f"{d.afterpulse_time_s!r} s",
        "jitter": f"{d.jitter_fwhm_s!r} s",
        "window": None if d.window_s is None else f"{d.window_s!r} s",
    }
