"""The packages of the extra `xray` that diffraction uses, imported when first needed.

rietx takes one to several seconds to import. It keeps a record of each fit in the folder it is called from unless
told not to: `fit` of `refinement` tells it.
"""

from __future__ import annotations

from typing import Any

from poliqi.base.errors import ConfigError

__all__ = ["gemmi_package", "rietx_package"]


def gemmi_package() -> Any:
    """gemmi: CIF files, symmetry, structure factors. Raises ConfigError where it is not installed."""
    try:
        import gemmi
    except ImportError as error:
        raise _missing("gemmi", "crystal structures") from error
    return gemmi


def rietx_package() -> Any:
    """rietx: diffractometers' files, whole-pattern fits. Raises ConfigError where it is not installed."""
    try:
        import rietx
    except ImportError as error:
        raise _missing("rietx", "diffraction patterns") from error
    return rietx


def _missing(package: str, what: str) -> ConfigError:
    return ConfigError(f'{what} need the package {package}, which is not installed: pip install "poliqi[xray]"')
