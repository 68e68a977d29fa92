"""What a calibration found, in the words of PONI files and of fit2d, with one standard deviation of everything."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.calibration.panel import Panel, Stand
from poliqi.lab.xray.geometry import HC_EV_M, Geometry

__all__ = ["Calibration", "Ring", "RunnerUp", "geometry_of", "poni_numbers", "report", "table"]

Floats = NDArray[np.float64]

PONI_NAMES: Final = ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad")


@dataclass(frozen=True, slots=True)
class Ring:
    """One ring that was matched. `points` of its `pieces` on the detector were found, scattering by `rms_px`."""

    number: int
    """From 1, the innermost of the calibrant."""
    spacing_a: float
    two_theta_rad: float
    points: int
    pieces: int
    rms_px: float
    width_px: float
    """Its own standard deviation across, on the detector."""


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best distance, and its agreement as a share of the best one's."""

    distance_m: float
    share: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A detector's stand. `stand_covariance` is of the five numbers of `stand`, by the fit.

    `check_covariance` is what leaving out an eighth of the azimuth at a time shows instead (the jackknife of
    M. H. Quenouille and J. W. Tukey); `points` are control points (slow m, fast m, ring number,
    residual in pixels), shape (n, 4).
    """

    panel: Panel
    calibrant: str
    wavelength_m: float
    stand: Stand
    stand_covariance: Floats = field(repr=False)
    check_covariance: Floats = field(repr=False)
    has_tilt: bool
    rings: tuple[Ring, ...]
    missed: tuple[int, ...]
    """Numbers of rings that fall on the detector between the matched ones and were not found."""
    explained: float
    """Share of the frame's ridges that lie on rings of the calibrant."""
    rms_px: float
    points: Floats = field(repr=False)
    runner_up: RunnerUp | None = None
    frames: int = 1
    cautions: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """As a PONI file holds it."""
        return geometry_of(self.stand, self.panel, self.wavelength_m)

    @property
    def beam_px(self) -> tuple[float, float]:
        """Where the beam meets the detector, x and y in pixels as fit2d counts: the first pixel's middle is .5."""
        return (
            self.stand.beam_fast_m / self.panel.pixel_m[1],
            self.stand.beam_slow_m / self.panel.pixel_m[0],
        )

    def sigma(self, jacobian: Floats) -> Floats:
        """Deviations of what depends on the stand by `jacobian`, shape (m, 5): the larger of fit's and check's."""
        variances = [
            np.einsum("mi,ij,mj->m", jacobian, covariance, jacobian)
            for covariance in (self.stand_covariance, self.check_covariance)
        ]
        return np.sqrt(np.maximum(np.maximum(*variances), 0.0))


def poni_numbers(stand: Stand) -> Floats:
    """Distance, poni1, poni2 (m), rot1, rot2 (rad), by the signs of PONI files.

    The plane's normal leans by the leans, so that the foot of the normal through the sample lies distance x lean
    from the beam; sin(rot2) is the slow lean and -cos(rot2) sin(rot1) the fast one.
    """
    upright = math.sqrt(max(0.0, 1.0 - stand.lean_slow**2 - stand.lean_fast**2))
    return np.array(
        [
            stand.distance_m * upright,
            stand.beam_slow_m - stand.distance_m * stand.lean_slow,
            stand.beam_fast_m - stand.distance_m * stand.lean_fast,
            math.atan2(-stand.lean_fast, upright),
            math.asin(max(-1.0, min(1.0, stand.lean_slow))),
        ]
    )


def geometry_of(stand: Stand, panel: Panel, wavelength_m: float) -> Geometry:
    """The PONI geometry of a stand; rot3, which no powder tells, is 0."""
    distance, poni1, poni2, rot1, rot2 = (float(v) for v in poni_numbers(stand))
    return Geometry(
        distance_m=distance,
        poni1_m=poni1,
        poni2_m=poni2,
        wavelength_m=wavelength_m,
        rot1_rad=rot1,
        rot2_rad=rot2,
        detector=panel.name or "Detector",
        pixel1_m=panel.pixel_m[0],
        pixel2_m=panel.pixel_m[1],
        shape=panel.shape,
    )


def _poni_jacobian(stand: Stand) -> Floats:
    steps = np.array([1e-6 * stand.distance_m, 1e-6 * stand.distance_m, 1e-6 * stand.distance_m, 1e-6, 1e-6])
    columns = [
        (poni_numbers(Stand.of(stand.vector + step)) - poni_numbers(Stand.of(stand.vector - step))) / (2 * size)
        for size, step in zip(steps, np.diag(steps), strict=True)
    ]
    return np.stack(columns, axis=1)


def report(found: Calibration) -> dict[str, Any]:
    """As plain values for JSON; units are in the names."""
    stand, panel = found.stand, found.panel
    poni = poni_numbers(stand)
    sigma = found.sigma(_poni_jacobian(stand))
    own = found.sigma(np.eye(5))
    tilt_sigma = math.degrees(float(np.hypot(own[3], own[4])))
    x, y = found.beam_px
    return {
        "calibrant": found.calibrant,
        "wavelength_A": found.wavelength_m * 1e10,
        "energy_keV": HC_EV_M / found.wavelength_m / 1e3,
        "detector": panel.name,
        "shape": list(panel.shape),
        "pixel_um": [side * 1e6 for side in panel.pixel_m],
        "frames": found.frames,
        "sample_to_beam_spot_m": stand.distance_m,
        "sample_to_beam_spot_sigma_m": float(own[0]),
        "beam_x_px": x,
        "beam_x_sigma_px": float(own[2]) / panel.pixel_m[1],
        "beam_y_px": y,
        "beam_y_sigma_px": float(own[1]) / panel.pixel_m[0],
        "tilt_deg": math.degrees(stand.tilt_rad),
        "tilt_sigma_deg": tilt_sigma if found.has_tilt else None,
        "tilt_plane_deg": math.degrees(math.atan2(stand.lean_slow, stand.lean_fast)),
        "poni": {
            name: {"value": float(value), "sigma": None if not found.has_tilt and k > 2 else float(s)}
            for k, (name, value, s) in enumerate(zip(PONI_NAMES, poni, sigma, strict=True))
        },
        "rings_matched": len(found.rings),
        "rings_missed": list(found.missed),
        "ridges_explained": found.explained,
        "rms_px": found.rms_px,
        "points": int(found.points.shape[0]),
        "rings": [
            {
                "number": ring.number,
                "spacing_A": ring.spacing_a,
                "two_theta_deg": math.degrees(ring.two_theta_rad),
                "points": ring.points,
                "pieces": ring.pieces,
                "rms_px": ring.rms_px,
                "width_px": ring.width_px,
            }
            for ring in found.rings
        ],
        "runner_up": None
        if found.runner_up is None
        else {"distance_m": found.runner_up.distance_m, "agreement_share": found.runner_up.share},
        "cautions": list(found.cautions),
    }


def table(found: Calibration) -> str:
    """For people."""
    told = report(found)
    poni = told["poni"]
    tilt = f"{told['tilt_deg']:.4f} +- {told['tilt_sigma_deg']:.4f} deg" if found.has_tilt else "held at 0"
    rows = [
        ("rings matched", f"{told['rings_matched']} of {found.calibrant}, {told['points']} control points"),
        ("residual", f"{found.rms_px:.3f} px rms"),
        (
            "beam x",
            f"{told['beam_x_px']:.4f} +- {told['beam_x_sigma_px']:.4f} px (fit2d: first pixel's middle is 0.5)",
        ),
        ("beam y", f"{told['beam_y_px']:.4f} +- {told['beam_y_sigma_px']:.4f} px"),
        (
            "sample to beam spot",
            f"{told['sample_to_beam_spot_m'] * 1e3:.5f} +- {told['sample_to_beam_spot_sigma_m'] * 1e3:.5f} mm",
        ),
        ("tilt", tilt),
    ]
    for name, unit, size in (("distance_m", "mm", 1e3), ("poni1_m", "mm", 1e3), ("poni2_m", "mm", 1e3)):
        one = poni[name]
        rows.append((name.removesuffix("_m"), f"{one['value'] * size:.5f} +- {one['sigma'] * size:.5f} {unit}"))
    for name in ("rot1_rad", "rot2_rad"):
        one = poni[name]
        sigma = "held" if one["sigma"] is None else f"+- {one['sigma']:.6f} rad"
        rows.append((name.removesuffix("_rad"), f"{one['value']:.6f} {sigma}"))
    if told["rings_missed"]:
        rows.append(("rings not found", ", ".join(map(str, told["rings_missed"]))))
    lines = [f"{name:20} {value}" for name, value in rows]
    return "\n".join([*lines, *(f"caution: {said}" for said in found.cautions)])
