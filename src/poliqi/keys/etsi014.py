"""ETSI GS QKD 014 v1.1.1 requests: from paths, queries and bodies to what is asked for, or to a refusal.

Clause 5 names the methods, clause 6 the formats; where they are silent, our choice stands in
docs/reference/etsi014.md. Nothing here knows the caller: who asks is what the verified certificate says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from poliqi.base.ids import SaeId
from poliqi.keys.etsi014_extensions import NOTHING_DEMANDED, Demands, read_extensions
from poliqi.keys.json_strict import BadJson, read_json
from poliqi.keys.keyid import parse_key_id
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import KeyOrder, Reason, Refused

__all__ = [
    "Action",
    "EncRequest",
    "Route",
    "is_sae_id",
    "read_dec_body",
    "read_dec_query",
    "read_enc_body",
    "read_enc_query",
    "read_path",
    "read_query",
    "refuse",
    "unquoted",
]

PREFIX: Final = b"/api/v1/keys/"
_LONGEST_ID: Final = 64
_LONGEST_NUMBER: Final = 9
_LONGEST_PATH: Final = 1024
_LONGEST_QUERY: Final = 1024
_REQUEST_MEMBERS: Final = frozenset(
    ("number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional")
)
_IDS_MEMBERS: Final = frozenset(("key_IDs", "key_IDs_extension"))
_ID_MEMBERS: Final = frozenset(("key_ID", "key_ID_extension"))


class Action(StrEnum):
    """The last part of a path (clause 5)."""

    STATUS = "status"
    ENC_KEYS = "enc_keys"
    DEC_KEYS = "dec_keys"


_ACTIONS: Final = {action.value.encode(): action for action in Action}


@dataclass(frozen=True, slots=True)
class Route:
    """A method and the other application: the slave, for dec_keys the master."""

    sae: SaeId
    action: Action


@dataclass(frozen=True, slots=True)
class EncRequest:
    """An order and what its extensions demand of the keys' grade."""

    order: KeyOrder
    demands: Demands


def refuse(message: str) -> Refused:
    """The answer to a request that is not in the standard's form."""
    return Refused(Reason.BAD_REQUEST, message)


def is_sae_id(text: str) -> bool:
    """1 to 64 printable characters, no white space at the ends; ids are compared exactly."""
    return 0 < len(text) <= _LONGEST_ID and text.isprintable() and text == text.strip()


def read_path(raw_path: bytes) -> Route | Refused | None:
    """What a path as it came, percent signs and all, asks for; None where it is none of the three."""
    return _read_path(raw_path) if len(raw_path) <= _LONGEST_PATH else None


@lru_cache(4096)
def _read_path(raw_path: bytes) -> Route | Refused | None:
    parts = raw_path.split(b"/")
    if len(parts) != 6 or not raw_path.startswith(PREFIX):
        return None
    action = _ACTIONS.get(parts[5])
    if action is None:
        return None
    sae = unquoted(parts[4])
    if sae is None or not is_sae_id(sae):
        return refuse(f"the SAE id in the path is not 1 to {_LONGEST_ID} printable characters, percent-encoded")
    return Route(SaeId(sae), action)


def unquoted(data: bytes) -> str | None:
    """Percent-decoded UTF-8; None where a percent sign starts no code or the bytes are no UTF-8."""
    if b"%" in data:
        pieces = data.split(b"%")[1:]
        if any(len(p) < 2 or p[:2].strip(b"0123456789abcdefABCDEF") for p in pieces):
            return None
        data = unquote_to_bytes(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def read_query(query: bytes, known: Sequence[str]) -> dict[str, str] | Refused:
    """The parameters of a query, each at most once and each of them `known`."""
    if len(query) > _LONGEST_QUERY:
        return refuse(f"the query is longer than {_LONGEST_QUERY} bytes")
    found: dict[str, str] = {}
    for part in query.split(b"&") if query else ():
        raw_name, _, raw_value = part.partition(b"=")
        name, value = unquoted(raw_name), unquoted(raw_value.replace(b"+", b" "))
        if name is None or value is None:
            return refuse("the query is not percent-encoded UTF-8")
        if name not in known:
            return refuse(f"this method takes no query parameter but {' and '.join(known) or 'none at all'}")
        if name in found:
            return refuse(f"the query names {name} twice")
        found[name] = value
    return found


def read_enc_query(master: SaeId, slave: SaeId, query: bytes, limits: KeyLimits) -> EncRequest | Refused:
    """GET enc_keys, which knows number and size only (clause 5.2)."""
    numbers = _numbers(query[: _LONGEST_QUERY + 1])
    if isinstance(numbers, Refused):
        return numbers
    number, size = numbers
    size = limits.key_size_bits if size is None else size
    return _order(master, (slave,), number, size, limits, NOTHING_DEMANDED)


@lru_cache(1024)
def _numbers(query: bytes) -> tuple[int, int | None] | Refused:
    """Number and size of a query, None where it leaves the size to us."""
    found = read_query(query, ("number", "size"))
    if isinstance(found, Refused):
        return found
    for name, text in found.items():
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
            return refuse(f"{name} is no whole number of at most {_LONGEST_NUMBER} digits")
    return int(found.get("number", "1")), int(found["size"]) if "size" in found else None


def read_enc_body(master: SaeId, slave: SaeId, body: bytes, limits: KeyLimits) -> EncRequest | Refused:
    """POST enc_keys with a key request (clause 6.2); all of its members are optional."""
    request = _object(body, _REQUEST_MEMBERS)
    if isinstance(request, Refused):
        return request
    number, size = request.get("number", 1), request.get("size", limits.key_size_bits)
    if type(number) is not int or type(size) is not int:
        return refuse("number and size are whole numbers")
    more = request.get("additional_slave_SAE_IDs", [])
    slaves = _slaves(master, slave, more, limits)
    if isinstance(slaves, Refused):
        return slaves
    demands = read_extensions(request.get("extension_mandatory", []), request.get("extension_optional", []))
    if isinstance(demands, Refused):
        return demands
    return _order(master, slaves, number, size, limits, demands)


def _object(body: bytes, known: frozenset[str]) -> dict[str, Any] | Refused:
    try:
        found = read_json(body)
    except BadJson as error:
        return refuse(str(error))
    if not isinstance(found, dict):
        return refuse("the body is no JSON object")
    members = cast("dict[str, Any]", found)
    if not members.keys() <= known:
        return refuse(f"the body has a member that is none of {', '.join(sorted(known))}")
    return members


def _slaves(master: SaeId, slave: SaeId, more: Any, limits: KeyLimits) -> tuple[SaeId, ...] | Refused:
    if not isinstance(more, list):
        return refuse("additional_slave_SAE_IDs is no array")
    ids = cast("list[Any]", more)
    if len(ids) > limits.max_slaves:
        return refuse(f"additional_slave_SAE_IDs names more than {limits.max_slaves} applications")
    if not all(isinstance(sae, str) and is_sae_id(sae) for sae in ids):
        return refuse(f"additional_slave_SAE_IDs holds something that is no id of 1 to {_LONGEST_ID} characters")
    slaves = (slave, *(SaeId(sae) for sae in ids))
    if len({master, *slaves}) != len(slaves) + 1:
        return refuse("additional_slave_SAE_IDs names an application twice, the slave or the master")
    return slaves


def _order(
    master: SaeId, slaves: tuple[SaeId, ...], number: int, size: int, limits: KeyLimits, demands: Demands
) -> EncRequest | Refused:
    if master in slaves:
        return refuse("master and slave are the same application")
    if not 1 <= number <= limits.max_number:
        return refuse(f"number is not within 1 and {limits.max_number}")
    if size % 8 or not limits.min_size_bits <= size <= limits.max_size_bits:
        return refuse(f"size is no multiple of 8 within {limits.min_size_bits} and {limits.max_size_bits} bits")
    return EncRequest(KeyOrder(master, slaves, number, size, demands.pool), demands)


def read_dec_query(query: bytes) -> tuple[bytes, ...] | Refused:
    """GET dec_keys, which takes exactly one key_ID (clause 5.3)."""
    found = read_query(query, ("key_ID",))
    if isinstance(found, Refused):
        return found
    key_id = parse_key_id(found.get("key_ID", ""))
    return refuse("key_ID is missing or no UUID") if key_id is None else (key_id,)


def read_dec_body(body: bytes, limits: KeyLimits) -> tuple[bytes, ...] | Refused:
    """POST dec_keys with key IDs (clause 6.4)."""
    request = _object(body, _IDS_MEMBERS)
    if isinstance(request, Refused):
        return request
    listed = request.get("key_IDs")
    if not isinstance(listed, list) or not listed:
        return refuse("key_IDs is missing, empty or no array")
    entries = cast("list[Any]", listed)
    if len(entries) > limits.max_number:
        return refuse(f"key_IDs names more than {limits.max_number} keys")
    key_ids: list[bytes] = []
    for entry in entries:
        key_id = _key_id(entry)
        if key_id is None:
            return refuse("key_IDs holds something that is no object with a UUID as its key_ID")
        key_ids.append(key_id)
    if len(set(key_ids)) != len(key_ids):
        return refuse("key_IDs names a key twice")
    return tuple(key_ids)


def _key_id(entry: Any) -> bytes | None:
    if not isinstance(entry, dict):
        return None
    members = cast("dict[str, Any]", entry)
    text = members.get("key_ID")
    return parse_key_id(text) if isinstance(text, str) and members.keys() <= _ID_MEMBERS else None
