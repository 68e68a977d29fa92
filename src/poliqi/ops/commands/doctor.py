"""`poliqi doctor`: what this machine runs, whether it computes right, how fast, and where compiled code is kept."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from poliqi.base.jit import cache_folder, processor_has, width, widths

__all__ = ["answer", "command"]

_FEATURES: Final = {
    "pclmul": "carry-less products, 128 bits",
    "vpclmulqdq": "carry-less products, wide",
    "avx512f": "512-bit registers",
    "bmi2": "PEXT, for sifting",
}
_LIBRARIES: Final = ("numpy", "numba", "llvmlite", "scipy", "cryptography")
_HASHED: Final = 1 << 24
_AMPLIFIED: Final = 1 << 20


def answer() -> dict[str, Any]:
    """Everything as plain data: what --json prints. Compiles each width of the kernels once."""
    started = time.perf_counter()
    from poliqi.distill.selfcheck import check_widths

    faults = check_widths()
    return {
        "poliqi": importlib.metadata.version("poliqi"),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernels": {
            "width": str(width()),
            "forced_by": "POLIQI_KERNELS" if os.environ.get("POLIQI_KERNELS") else None,
            "available": [str(each) for each in widths()],
            "faults": {str(each): fault for each, fault in faults.items()},
            "features": {name: processor_has(name) for name in _FEATURES},
            "check_s": round(time.perf_counter() - started, 3),
        },
        "speed": _speed(),
        "cache": _cache(),
        "core_dumps": "off"
        if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
        else "on: `link run` turns them off",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _cache() -> dict[str, Any] | None:
    folder = cache_folder()
    if folder is None:
        return None
    kept = [path for path in folder.rglob("*") if path.is_file()]
    return {"folder": str(folder), "files": len(kept), "bytes": sum(path.stat().st_size for path in kept)}


def _speed() -> dict[str, float]:
    """One quick look each: `python -m bench` measures properly."""
    import numpy as np

    from poliqi.base.bits import BitString
    from poliqi.distill.amplify import amplify
    from poliqi.distill.kernels.polyval import PolyHash

    data, target = np.ones(_HASHED, np.uint8), np.empty(_HASHED, np.uint8)
    running = PolyHash(bytes(16))
    bits, seed = BitString.zeros(_AMPLIFIED), bytes(_AMPLIFIED // 8)
    return {
        "memory_copy_gb_s": round(_HASHED / _fastest(lambda: np.copyto(target, data)) / 1e9, 2),
        "hash_gb_s": round(_HASHED / _fastest(lambda: running.update(data.data)) / 1e9, 2),
        "amplify_mbit_s": round(_AMPLIFIED / _fastest(lambda: amplify(bits, seed, _AMPLIFIED // 3)) / 1e6, 1),
    }


def _fastest(call: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(4):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Say what this machine runs: which width of the compiled kernels, whether each computes right, how fast.

    POLIQI_KERNELS=portable, pclmul or vpclmul forces a width, here and in every other command. Exit status 1 where
    a width computes wrongly or compiled code cannot be kept.

    \b
    Examples:
      poliqi doctor
      POLIQI_KERNELS=portable poliqi doctor --json
    """
    click.echo("checking every width of the kernels; the first time, this compiles them ...", err=True)
    found = answer()
    click.echo(json.dumps(found) if as_json else _text(found))
    if any(found["kernels"]["faults"].values()) or found["cache"] is None:
        context.exit(1)


def _text(found: dict[str, Any]) -> str:
    kernels, speed, cache = found["kernels"], found["speed"], found["cache"]
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    lines = [
        f"POLIQI {found['poliqi']}, Python {found['python']}; {libraries}",
        f"{found['processor']}, {found['cores']} cores",
        f"kernels run {kernels['width']}" + (f", forced by {kernels['forced_by']}" if kernels["forced_by"] else ""),
    ]
    for each, fault in kernels["faults"].items():
        lines.append(f"  {each:9} {'computes right' if fault is None else 'COMPUTES WRONGLY: ' + fault}")
    lines += [
        f"  {name:11}{'yes' if has else 'no '}  {_FEATURES[name]}" for name, has in kernels["features"].items()
    ]
    lines.append(
        f"speed     hash {speed['hash_gb_s']:g} GB/s, privacy amplification {speed['amplify_mbit_s']:g} Mbit/s, "
        f"memory copy {speed['memory_copy_gb_s']:g} GB/s"
    )
    if cache is None:
        lines.append("compiled  not kept: no folder can be written, every start compiles anew; set XDG_CACHE_HOME")
    else:
        lines.append(f"compiled  {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB in {cache['folder']}")
    lines.append(
        "core dumps are " + ("on here; `poliqi link run` turns them off" if found["core_dumps"] else "off")
    )
    return "\n".join(lines)
