"""What a RESTCONF server says of itself: modules (RFC 7895), capabilities and streams (RFC 8040, section 9.3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from poliqi.edge.restconf_data import Root
from poliqi.edge.restconf_schema import schema_of

__all__ = ["LIBRARY_VERSION", "STREAM", "STREAM_PATH", "library", "monitoring"]

LIBRARY_VERSION: Final = "2016-06-21"
"""Revision of ietf-yang-library that is served."""
STREAM: Final = "etsi-qkd"
STREAM_PATH: Final = f"/restconf/streams/{STREAM}"

_KEY: Final = Meta(extra={"key": True})
_ETSI: Final = "urn:etsi:qkd:yang:"
_IETF: Final = "urn:ietf:params:xml:ns:yang:"
_RESTCONF: Final = "urn:ietf:params:restconf:capability:"


class _Conformance(StrEnum):
    IMPLEMENT = "implement"
    IMPORT = "import"


class _Yang(msgspec.Struct, frozen=True, rename="kebab"):
    pass


class _Module(_Yang, frozen=True):
    name: Annotated[str, _KEY]
    revision: Annotated[str, _KEY]
    namespace: str
    conformance_type: _Conformance = _Conformance.IMPLEMENT


class _ModulesState(_Yang, frozen=True):
    module_set_id: str
    module: tuple[_Module, ...]


class _Capabilities(_Yang, frozen=True):
    capability: tuple[str, ...]


class _Access(_Yang, frozen=True):
    encoding: Annotated[str, _KEY]
    location: str


class _Stream(_Yang, frozen=True):
    name: Annotated[str, _KEY]
    description: str
    access: tuple[_Access, ...]
    replay_support: bool = False


class _Streams(_Yang, frozen=True):
    stream: tuple[_Stream, ...]


class _State(_Yang, frozen=True):
    capabilities: _Capabilities
    streams: _Streams


_MODULES: Final = (
    _Module("etsi-qkd-node-types", "2026-11-23", f"{_ETSI}etsi-qkd-node-types"),
    _Module("etsi-qkd-sdn-node", "2026-11-23", f"{_ETSI}etsi-qkd-node"),
    _Module("ietf-inet-types", "2013-07-15", f"{_IETF}ietf-inet-types", _Conformance.IMPORT),
    _Module("ietf-restconf", "2017-01-26", f"{_IETF}ietf-restconf"),
    _Module("ietf-restconf-monitoring", "2017-01-26", f"{_IETF}ietf-restconf-monitoring"),
    _Module("ietf-yang-library", LIBRARY_VERSION, f"{_IETF}ietf-yang-library"),
    _Module("ietf-yang-types", "2013-07-15", f"{_IETF}ietf-yang-types", _Conformance.IMPORT),
)


def library() -> Root:
    """ietf-yang-library:modules-state."""
    state = _ModulesState("etsi-gs-qkd-015", _MODULES)
    schema = schema_of(_ModulesState, is_config=False)
    return Root("ietf-yang-library", "modules-state", schema, msgspec.to_builtins(state))


def monitoring() -> Root:
    """ietf-restconf-monitoring:restconf-state."""
    stream = _Stream(STREAM, "what changes at this node (ETSI GS QKD 015)", (_Access("json", STREAM_PATH),))
    names = ("defaults:1.0?basic-mode=explicit", "depth:1.0", "fields:1.0")
    state = _State(_Capabilities(tuple(_RESTCONF + name for name in names)), _Streams((stream,)))
    schema = schema_of(_State, is_config=False)
    return Root("ietf-restconf-monitoring", "restconf-state", schema, msgspec.to_builtins(state))
