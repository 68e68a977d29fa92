"""A link's parameters as the text of a LINK.toml."""

from __future__ import annotations

from poliqi.ops.toml_text import toml_text
from poliqi.optics.parameters import AttackKind, LinkParameters

__all__ = ["link_text"]


def link_text(link: LinkParameters, note: str = "") -> str:
    """What `poliqi.ops.config.read_link` reads as this link."""
    s, f, r, d, b = link.source, link.fibre, link.receiver, link.detector, link.block
    return toml_text(
        {
            "name": link.name,
            "note": note,
            "source": {
                "clock": f"{s.clock_hz!r} Hz",
                "intensities": list(s.intensities),
                "probabilities": list(s.probabilities),
                "key_basis": s.key_basis,
                "intensity_noise": s.intensity_noise,
                "pulse_fwhm": f"{s.pulse_fwhm_s!r} s",
                "wavelength": f"{s.wavelength_m!r} m",
                "linewidth": f"{s.linewidth_m!r} m",
            },
            "fibre": {
                "length": f"{f.length_m!r} m",
                "attenuation": f"{f.attenuation_db_per_km!r} dB/km",
                "connectors": f"{f.connectors_db!r} dB",
                "mux": f"{f.mux_db!r} dB",
                "switch": f"{f.switch_db!r} dB",
                "dispersion": f"{f.dispersion_ps_nm_km!r} ps/(nm km)",
            },
            "receiver": {
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
            },
            "detector": {
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
            },
            "block": {
                "sifted_key": b.sifted_key,
                "proof": b.proof.value,
                "clamp": b.clamp,
                "epsilon_sec": b.epsilon_sec,
                "epsilon_cor": b.epsilon_cor,
                "leak_model": b.leak_model.value,
                "efficiency": b.efficiency,
                "intensity_uncertainty": b.intensity_uncertainty,
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
