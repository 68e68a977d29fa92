"""Licences by their SPDX names, so that whoever receives a dataset knows what may be done with it."""

from __future__ import annotations

from poliqi.base.errors import DataRefused

__all__ = ["check_licence"]


def check_licence(text: str) -> str:
    """An SPDX expression in its canonical form; empty stays empty: nobody but the owner may use it.

    "CC-BY-4.0", "cc0-1.0" (becomes CC0-1.0), "MIT OR Apache-2.0", and "LicenseRef-Name" for terms of one's own.
    Raises DataRefused for what the list of SPDX does not hold.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not text:
        return ""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        raise DataRefused(
            f"licence {text[:80]!r} is unknown: name it as SPDX does, such as CC-BY-4.0 or CC0-1.0, or "
            "LicenseRef-NAME for terms of your own (https://spdx.org/licenses/)"
        ) from None
