"""Errors of a transfer become kinds for which the pages have words."""

from __future__ import annotations

import pytest

from poliqi.apps.share.messages import Refusal, RefusalCode, Refused
from poliqi.base import errors
from poliqi.ops.sae_web.trouble import Declined, Trouble, trouble_of


def test_every_class_of_errors_has_a_kind_of_its_own() -> None:
    named = [getattr(errors, name) for name in errors.__all__]
    kinds = [kind for kind in named if isinstance(kind, type) and kind is not errors.PoliqiError]
    found = {kind: trouble_of(kind("text")) for kind in kinds}
    assert Trouble.INSIDE not in found.values()
    assert len(set(found.values())) == len(kinds)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (RefusalCode.NO_SPACE, Trouble.THEIR_DISK),
        (RefusalCode.TOO_LARGE, Trouble.THEIR_LIMIT),
        (RefusalCode.CLOSING, Trouble.AWAY),
        (RefusalCode.DIFFERS, Trouble.REFUSED),
    ],
)
def test_what_the_other_site_refuses_is_said_of_it(code: RefusalCode, trouble: Trouble) -> None:
    assert trouble_of(Refused("bank", Refusal(code))) is trouble


def test_what_is_no_error_of_ours_went_wrong_inside() -> None:
    assert trouble_of(KeyError("x")) is Trouble.INSIDE
    assert trouble_of(Declined(Trouble.NAME, "x")) is Trouble.NAME
