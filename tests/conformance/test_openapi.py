"""The served description and the server agree: schemathesis makes requests from the one and judges the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schemathesis
from fake_desk import fake_pair
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.identity import Caller, CallerKind
from poliqi.edge.kme_http import KmeApplication
from poliqi.keys.openapi import document

_DESK, _ = fake_pair()
_DESK.sites.stock_bytes = 1 << 40
_KME = KmeApplication(_DESK, entropy=OperatingSystemEntropy(), partners=lambda _: [SaeId("sae-b")])
_SAE_A = Caller(CallerKind.SAE, "sae-a", 2e10, 1, b"", "")
_CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


async def _as_sae_a(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    if scope["type"] != "http":
        return
    scope["state"] = {"caller": _SAE_A}
    scope["raw_path"] = scope["raw_path"].partition(b"?")[0]
    await _KME(scope, receive, send)


schema = schemathesis.openapi.from_asgi("/openapi.json", _as_sae_a)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_answers_are_as_described(case: schemathesis.Case) -> None:
    if "slave_SAE_ID" in case.path_parameters:
        case.path_parameters["slave_SAE_ID"] = "sae-b"
    case.call_and_validate(checks=list(_CHECKS))


def test_every_path_of_the_description_is_served() -> None:
    assert set(document()["paths"]) == {
        "/api/v1/keys/{slave_SAE_ID}/status",
        "/api/v1/keys/{slave_SAE_ID}/enc_keys",
        "/api/v1/keys/{master_SAE_ID}/dec_keys",
        "/capabilities",
        "/key",
        "/key/{keyId}",
        "/entropy",
    }
    assert "/key" not in document(has_skip=False)["paths"]
    assert "/more" in document(more_paths={"/more": {}})["paths"]
