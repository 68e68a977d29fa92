"""The one way in to PyBaMM: imported when it is needed, which takes seconds, and never telling anybody of it."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from poliqi.base.errors import ConfigError

__all__ = ["pybamm"]


@cache
def pybamm() -> Any:
    """The package, without its telemetry. Raises ConfigError where the extra is missing."""
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    try:
        import pybamm as package
    except ImportError as error:
        raise ConfigError(f'PyBaMM cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
    found: Any = package  # it carries no annotations
    found.set_logging_level("CRITICAL")  # what fails is raised, and told by who asked
    return found
