"""The descriptions for machines name what the standards name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poliqi.keys import etsi004_openapi, etsi020_openapi


def names(schema: dict[str, Any]) -> list[str]:
    return list(schema["properties"])


def body(path: dict[str, Any]) -> dict[str, Any]:
    return path["post"]["requestBody"]["content"]["application/json"]["schema"]


def test_key_streams_are_described() -> None:
    paths = etsi004_openapi.paths()
    assert list(paths) == ["/etsi004/v1/open_connect", "/etsi004/v1/get_key", "/etsi004/v1/close"]
    asked = body(paths["/etsi004/v1/open_connect"])
    assert names(asked) == ["source", "destination", "QoS", "Key_stream_ID"]
    assert names(asked["properties"]["QoS"])[0] == "Key_chunk_size"
    reply = paths["/etsi004/v1/get_key"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert names(reply) == ["status", "index", "Key_buffer", "Metadata_size", "Metadata_buffer"]
    assert reply["properties"]["status"]["enum"] == list(range(9))


def test_keys_between_systems_are_described() -> None:
    paths = etsi020_openapi.paths()
    assert sorted(paths) == [
        "/kmapi/v1/ext_keys",
        "/kmapi/v1/ext_keys/ack",
        "/kmapi/v1/ext_keys/void",
        "/kmapi/versions",
    ]
    assert names(body(paths["/kmapi/v1/ext_keys"])) == [
        "keys",
        "initiator_sae_id",
        "target_sae_ids",
        "ack_callback_url",
        "extension_mandatory",
        "extension_optional",
    ]
    acks = body(paths["/kmapi/v1/ext_keys/ack"])
    assert acks["items"]["properties"]["ack_status"]["enum"] == [
        "failed",
        "failed to void",
        "key not present",
        "relayed",
        "voided",
    ]


@pytest.mark.parametrize("paths", [etsi004_openapi.paths(), etsi020_openapi.paths()], ids=["004", "020"])
def test_a_description_refers_to_nothing_elsewhere(paths: dict[str, Any]) -> None:
    assert "$ref" not in json.dumps(paths)
