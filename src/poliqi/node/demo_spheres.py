"""Files of the demonstration's laboratory: simulated scattering of spheres, and the radius that it shows.

Sphere: I(q) = I0 [3 (sin qR - qR cos qR) / (qR)^3]^2, Lord Rayleigh, Proc. R. Soc. A 90, 219 (1914).
Guinier: ln I = ln I0 - q^2 Rg^2 / 3, A. Guinier, Ann. Phys. 11(12), 161 (1939); of a sphere Rg^2 = 3 R^2 / 5.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["guinier_files", "sphere_files"]

RADIUS_NM: Final = 5.0
_COUNTS: Final = 20_000.0
_BACKGROUND: Final = 0.4
_SIDE: Final = 256
_Q_OF_PIXEL_PER_NM: Final = 0.018
_RINGS: Final = 128
_LARGEST: Final = 1.3
"""Of q Rg in the fit."""
_HEAD: Final = (
    "# SIMULATED, not measured: spheres of radius 5.0 nm\n# q (1/nm), intensity (counts), sigma (counts)\n"
)


def sphere_intensity(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of one sphere, 1 at q = 0; `q` in 1/nm, of any shape."""
    x = np.maximum(q * RADIUS_NM, 1e-3)
    return (3.0 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2


def sphere_files(folder: Path, seed: int = 1) -> None:
    """frame.png and curve.dat: counts of a detector of 256 x 256 pixels, and their mean over rings of equal q."""
    y, x = np.indices((_SIDE, _SIDE), np.float64) - (_SIDE - 1) / 2.0
    q = np.hypot(x, y) * _Q_OF_PIXEL_PER_NM
    counts = np.random.default_rng(seed).poisson(_COUNTS * sphere_intensity(q) + _BACKGROUND)
    width = float(q.max()) / np.sqrt(2.0) / _RINGS
    ring: NDArray[np.int64] = (q / width).astype(np.int64).ravel()
    inside = (ring > 0) & (ring < _RINGS)
    size = np.bincount(ring[inside], minlength=_RINGS)
    total = np.bincount(ring[inside], counts.ravel()[inside], _RINGS)
    middle = np.bincount(ring[inside], q.ravel()[inside], _RINGS)
    kept = (size > 0) & (total > 0)
    rows = zip(middle[kept] / size[kept], total[kept] / size[kept], np.sqrt(total[kept]) / size[kept], strict=True)
    text = "".join(f"{a:.6f} {b:.6g} {c:.4g}\n" for a, b, c in rows)
    (folder / "curve.dat").write_text(_HEAD + text)
    shade = np.log1p(counts) / np.log1p(counts.max())
    (folder / "frame.png").write_bytes(grey_png((255.0 * shade).astype(np.uint8)))


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of shape (rows, columns), 8 bits of grey (ISO/IEC 15948)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, columns = pixels.shape
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def guinier_files(curve: Path, folder: Path) -> None:
    """guinier.svg and radius.json of a curve as `sphere_files` writes it.

    ln I is fitted by a + b q^2 + c q^4 where q Rg < 1.3: the slope b at q = 0 gives Rg, and c takes up what
    Guinier's law leaves out there (without it a sphere's radius comes out 1 to 2 % too large).
    """
    q, intensity, sigma = np.loadtxt(curve, unpack=True)
    fit, variance, points = _fitted(q, intensity, sigma, _LARGEST / (np.sqrt(3.0 / 5.0) * RADIUS_NM))
    for _ in range(5):
        fit, variance, points = _fitted(q, intensity, sigma, _LARGEST / np.sqrt(-3.0 * fit[1]))
    rg_nm = float(np.sqrt(-3.0 * fit[1]))
    radius_nm = float(np.sqrt(5.0 / 3.0)) * rg_nm
    found = {
        "simulated": True,
        "radius_of_gyration_nm": round(rg_nm, 4),
        "radius_of_sphere_nm": round(radius_nm, 4),
        "sigma_nm": round(radius_nm * float(np.sqrt(variance)) / (2.0 * abs(fit[1])), 4),
        "points": points,
        "sigma_covers": "counting statistics",
    }
    (folder / "radius.json").write_text(json.dumps(found, indent=1) + "\n")
    shown = q * rg_nm < 1.2 * _LARGEST
    svg = _fit_svg(q[shown] ** 2, np.log(intensity[shown]), fit, f"R = {radius_nm:.2f} nm (simulated)")
    (folder / "guinier.svg").write_text(svg)


def _fitted(
    q: NDArray[np.float64], intensity: NDArray[np.float64], sigma: NDArray[np.float64], largest_q: float
) -> tuple[tuple[float, float, float], float, int]:
    """a, b, c, the variance of b, and of how many points: least squares with 1 / sigma of ln I as weights."""
    low = q < largest_q
    weights = intensity[low] / sigma[low]
    x = q[low] ** 2
    powers = [float(np.sum(weights**2 * x**n)) for n in range(5)]
    right = [float(np.sum(weights**2 * x**n * np.log(intensity[low]))) for n in range(3)]
    normal = np.array([powers[n : n + 3] for n in range(3)], np.float64)
    found = [float(value) for value in np.linalg.solve(normal, np.array(right, np.float64)).flat]
    return (found[0], found[1], found[2]), float(np.linalg.inv(normal).item(1, 1)), int(low.sum())


def _fit_svg(x: NDArray[np.float64], y: NDArray[np.float64], fit: tuple[float, float, float], title: str) -> str:
    """Points and the fit through them, with what stands at the axes."""
    x1, y0, y1 = 1.05 * float(x.max()), float(y.min()) - 0.1, float(y.max()) + 0.15

    def at(a: float, b: float) -> str:
        return f"{60.0 + 460.0 * a / x1:.1f} {20.0 + 260.0 * (y1 - b) / (y1 - y0):.1f}"

    dots = "".join(f"M{at(*p)}h0" for p in zip(x.tolist(), y.tolist(), strict=True))
    way = "L".join(
        at(u, fit[0] + fit[1] * u + fit[2] * u * u) for u in np.linspace(0.0, float(x.max()), 60).tolist()
    )
    words = "".join(
        f'<text x="{60 + 115 * n}" y="298" text-anchor="middle">{x1 * n / 4:.3f}</text>'
        f'<text x="52" y="{24 + 65 * n}" text-anchor="end">{y1 - (y1 - y0) * n / 4:.2f}</text>'
        for n in range(5)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 340" width="540" height="340" '
        'font-family="sans-serif" font-size="12" fill="#222"><rect width="540" height="340" fill="#fff"/>'
        '<g fill="none" stroke-width="2"><path d="M60 20V280H520" stroke="#888" stroke-width="1"/>'
        f'<path d="M{way}" stroke="#a2480f"/>'
        f'<path d="{dots}" stroke="#1b5fa8" stroke-width="6" stroke-linecap="round"/></g>'
        f'{words}<text x="290" y="326" text-anchor="middle">q² (1/nm²)</text>'
        '<text x="16" y="150" text-anchor="middle" transform="rotate(-90 16 150)">ln I</text>'
        f'<text x="500" y="40" text-anchor="end" font-size="14">{title}</text></svg>\n'
    )
