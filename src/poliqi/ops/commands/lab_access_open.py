"""Options that say which facility and who asks; what every command of it does with them."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, root_option, say

if TYPE_CHECKING:
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.records import User

__all__ = ["JSON", "PATH", "access_options", "hours_s", "minutes_s", "open_facility", "say", "whole"]

_STORE: Final = root_option("folder of the laboratory")
_AS: Final = click.option(
    "--as",
    "login",
    envvar="POLIQI_LOGIN",
    metavar="LOGIN",
    help="who you are (or POLIQI_LOGIN; your account's name)",
)
F = TypeVar("F", bound=Callable[..., Any])


def access_options(function: F) -> F:
    """--store, --as and --json."""
    return _STORE(_AS(JSON(function)))


def open_facility(store: Path | None, login: str | None) -> tuple[Facility, User]:
    """To be closed by the caller, and who asks. Raises ConfigError, StoreError.

    Whoever may read and write the folder is believed: this command line is for those who run the facility.
    """
    from poliqi.base.errors import ConfigError
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.refusal import Refused

    if store is None:
        raise ConfigError("which laboratory? give --store ROOT, or set POLIQI_LAB to its folder")
    facility = Facility.open(store)
    name = login if login is not None else getpass.getuser()
    try:
        return facility, facility.user(name)
    except Refused as error:
        facility.close()
        raise ConfigError(f"{name!a} is no login of this facility: give yours with --as LOGIN") from error
    except BaseException:
        facility.close()
        raise


def whole(text: str, what: str) -> int:
    """A whole number of a person. Raises Refused."""
    from poliqi.lab.facility.refusal import Reason, Refused

    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Refused(Reason.BAD_VALUE, f"{what} {text[:40]!a}: a whole number, 0 or more")
    return int(text)


def minutes_s(minutes: int) -> int:
    """In seconds."""
    return minutes * 60


def hours_s(text: str, what: str) -> int:
    """Seconds of hours such as `2.5`, to the hundredth of an hour. Raises Refused."""
    from poliqi.lab.facility.money import cents_of

    return cents_of(text, what) * 36
