"""OpenAPI 3.1 of the HTTP that a site serves to applications; the only place where it is described for machines.

Written from ETSI GS QKD 014 v1.1.1 and draft-cisco-skip-02. Limits that depend on the site (sizes, numbers) are
not in it: they are in the answer of `status`.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["document"]

_ID: Final = {"type": "string", "minLength": 1, "maxLength": 64}
_UUID: Final = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
}
_COUNT: Final = {"type": "integer", "minimum": 0}
_POSITIVE: Final = {"type": "integer", "minimum": 1, "maximum": 999_999_999}


def _object(members: dict[str, Any], *optional: str, closed: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": not closed,
    }


_ERROR: Final = _object({"message": {"type": "string"}})
_GRADE: Final = _object(
    {
        "grade": {"type": "string"},
        "origin": {"type": "string", "enum": ["photons", "pqc", "unproven", "replay", "simulated"]},
        "simulated": {"type": "boolean"},
        "epsilon": {"type": ["number", "null"]},
        "proof": {"type": "string"},
        "paths": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "paths_needed": {"type": "integer", "minimum": 1},
        "hybrid": {"type": "boolean"},
        "combiner": {"type": "string"},
        "authenticity": {"type": "string", "enum": ["information-theoretic", "computational"]},
    },
    closed=False,
)
_STATUS: Final = _object(
    {
        "source_KME_ID": {"type": "string"},
        "target_KME_ID": {"type": "string"},
        "master_SAE_ID": _ID,
        "slave_SAE_ID": _ID,
        **dict.fromkeys(
            (
                "key_size",
                "stored_key_count",
                "max_key_count",
                "max_key_per_request",
                "max_key_size",
                "min_key_size",
                "max_SAE_ID_count",
            ),
            _COUNT,
        ),
        "status_extension": _object(
            {
                "connected": {"type": "boolean"},
                "grades": {"type": "array", "items": _GRADE},
                "filled_bits": {"type": "integer", "minimum": 0},
            },
            closed=False,
        ),
    }
)
_EXTENSIONS: Final = {"type": "array", "items": {"type": "object", "minProperties": 1}}
_KEY_REQUEST: Final = _object(
    {
        "number": {**_POSITIVE, "default": 1},
        "size": {**_POSITIVE, "multipleOf": 8, "description": "bits; default: key_size of the status"},
        "additional_slave_SAE_IDs": {"type": "array", "items": _ID, "uniqueItems": True},
        "extension_mandatory": _EXTENSIONS,
        "extension_optional": _EXTENSIONS,
    },
    "number",
    "size",
    "additional_slave_SAE_IDs",
    "extension_mandatory",
    "extension_optional",
)
_KEY: Final = _object(
    {"key_ID": _UUID, "key": {"type": "string", "contentEncoding": "base64"}, "key_extension": _GRADE}
)
_KEY_CONTAINER: Final = _object({"keys": {"type": "array", "items": _KEY, "minItems": 1}})
_KEY_IDS: Final = _object(
    {
        "key_IDs": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": _object({"key_ID": _UUID, "key_ID_extension": {}}, "key_ID_extension"),
        },
        "key_IDs_extension": {},
    },
    "key_IDs_extension",
)
_HEX: Final = {"type": "string", "pattern": "^([0-9a-fA-F]{2})+$"}
_SKIP_SCHEMAS: Final = {
    "SkipCapabilities": _object(
        {
            "entropy": {"type": "boolean"},
            "key": {"type": "boolean"},
            "algorithm": {"type": "string"},
            "localSystemID": _ID,
            "remoteSystemID": {"type": "array", "items": _ID},
        }
    ),
    "SkipKey": _object({"keyId": {**_HEX, "minLength": 32, "maxLength": 32}, "key": _HEX}),
    "SkipEntropy": _object({"randomStr": _HEX, "minentropy": {"type": "integer", "minimum": 1}}),
}

_REFUSALS: Final = {
    400: "the request is not in the standard's form, or a key is unknown, expired or delivered",
    401: "the certificate names no application, or one that may not have this",
    405: "the method is not allowed here",
    413: "the body is longer than 64 KiB",
    415: "the content type is not application/json",
    503: "not enough keys, or the site cannot serve now; Retry-After says when to ask again",
}


def _schema(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _responses(name: str, *codes: int) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "done", "content": _schema(name)}}
    for code in codes:
        answers[str(code)] = {"description": _REFUSALS[code], "content": _schema("Error")}
        if code == 503:
            answers["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return answers


def _operation(name: str, summary: str, responses: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "parameters": list(parameters), "responses": responses}


def _parameter(
    name: str, schema: dict[str, Any], where: str = "query", *, required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required or where == "path", "schema": schema}


def _posted(operation: dict[str, Any], schema: str) -> dict[str, Any]:
    return {**operation, "requestBody": {"required": True, "content": _schema(schema)}}


def _etsi014() -> dict[str, Any]:
    slave, master = _parameter("slave_SAE_ID", _ID, "path"), _parameter("master_SAE_ID", _ID, "path")
    number, size = _parameter("number", _POSITIVE), _parameter("size", {**_POSITIVE, "multipleOf": 8})
    keys, posted = _responses("KeyContainer", 400, 401, 503), _responses("KeyContainer", 400, 401, 413, 415, 503)
    one = _parameter("key_ID", _UUID, required=True)
    status = _operation("getStatus", "What is in stock", _responses("Status", 400, 401, 503), slave)
    enc = _operation("getKey", "Fresh keys", keys, slave, number, size)
    enc_post = _operation("postKey", "Fresh keys, also for several slaves", posted, slave)
    dec = _operation("getKeyWithId", "A key that a master named", keys, master, one)
    dec_post = _operation("postKeyWithIds", "Keys that a master named", posted, master)
    return {
        "/api/v1/keys/{slave_SAE_ID}/status": {"get": status},
        "/api/v1/keys/{slave_SAE_ID}/enc_keys": {"get": enc, "post": _posted(enc_post, "KeyRequest")},
        "/api/v1/keys/{master_SAE_ID}/dec_keys": {"get": dec, "post": _posted(dec_post, "KeyIDs")},
    }


def _skip() -> dict[str, Any]:
    remote = _parameter("remoteSystemID", _ID, required=True)
    size = _parameter("size", {**_POSITIVE, "multipleOf": 8})
    key_id = _parameter("keyId", _SKIP_SCHEMAS["SkipKey"]["properties"]["keyId"], "path")
    bits = _parameter("minentropy", {"type": "integer", "minimum": 1, "maximum": 8192, "default": 256})
    can = _operation("skipCapabilities", "What is served, and with whom", _responses("SkipCapabilities", 400))
    fresh = _operation("skipNewKey", "A fresh key", _responses("SkipKey", 400, 503), remote, size)
    named = _operation("skipKey", "The key of that name", _responses("SkipKey", 400, 503), key_id, remote)
    random = _operation("skipEntropy", "Fresh random bits", _responses("SkipEntropy", 400, 503), bits)
    return {
        "/capabilities": {"get": can},
        "/key": {"get": fresh},
        "/key/{keyId}": {"get": named},
        "/entropy": {"get": random},
    }


def document(*, has_skip: bool = True, more_paths: dict[str, Any] | None = None) -> dict[str, Any]:
    """The whole description. `more_paths` are those of other standards that the same server answers."""
    schemas = {
        "Error": _ERROR,
        "Grade": _GRADE,
        "Status": _STATUS,
        "KeyRequest": _KEY_REQUEST,
        "KeyContainer": _KEY_CONTAINER,
        "KeyIDs": _KEY_IDS,
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "POLIQI key delivery",
            "version": "1",
            "description": "ETSI GS QKD 014 v1.1.1 and Cisco SKIP over mutual TLS.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_etsi014(), **(_skip() if has_skip else {}), **(more_paths or {})},
        "components": {
            "schemas": {**schemas, **(_SKIP_SCHEMAS if has_skip else {})},
            "securitySchemes": {"mutualTLS": {"type": "mutualTLS"}},
        },
        "security": [{"mutualTLS": []}],
    }
