"""A form with files in it (RFC 7578), from a browser that runs no script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Form", "read_form"]

_FIELDS: Final = 32
_FILES: Final = 64
_FIELD_BYTES: Final = 4096
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Form:
    """`files` are names, as the browser says them, and contents."""

    fields: Mapping[str, str]
    files: tuple[tuple[str, bytes], ...]


def read_form(content_type: str, body: bytes) -> Form:
    """Raises DataRefused where it is no such form, or has more in it than a form of ours."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise DataRefused("this is no form with files in it: load the page anew and try again")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError) as error:
        raise DataRefused("the form did not come whole: try again") from error
    if not reader.is_ended:
        raise DataRefused("the form did not come whole: try again")
    return Form(reader.fields, tuple(reader.files))


class _Reader:
    """What the parser calls."""

    def __init__(self) -> None:
        self.fields: Final[dict[str, str]] = {}
        self.files: Final[list[tuple[str, bytes]]] = []
        self.is_ended = False
        self._head: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._data = bytearray()

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._head, self._data = {}, bytearray()

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name = _limited(self._name + data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = _limited(self._value + data[start:end])

    def _on_header(self) -> None:
        self._head[self._name.lower()] = self._value
        self._name = self._value = b""
        if len(self._head) > _FIELDS:
            raise FormParserError("too many headers")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._head.get(b"content-disposition", b""))
        if b"filename" in options:
            # a field for files that were not chosen has an empty name
            if options[b"filename"] or self._data:
                name = options[b"filename"].decode().replace("%22", '"')  # WHATWG HTML, 4.10.21.8
                self.files.append((name, bytes(self._data)))
        elif len(self._data) > _FIELD_BYTES:
            raise FormParserError("a field is too long")
        else:
            self.fields[options.get(b"name", b"").decode()] = self._data.decode()
        if len(self.files) > _FILES or len(self.fields) > _FIELDS:
            raise FormParserError("too many parts")

    def _on_end(self) -> None:
        self.is_ended = True


def _limited(data: bytes) -> bytes:
    if len(data) > _HEAD_BYTES:
        raise FormParserError("a header is too long")
    return data
