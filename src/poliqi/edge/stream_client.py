"""Clients of key streams (ETSI GS QKD 004): waiting or asynchronous, over frames or HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Final, Protocol, Self, TypeVar
from uuid import UUID

import httpx

from poliqi.base.errors import LinkDown, ProtocolError
from poliqi.edge.framing import HEADER_BYTES, FrameStream
from poliqi.edge.network import Address
from poliqi.keys.etsi004_messages import (
    MESSAGE_BYTES,
    Close,
    CloseReply,
    GetKey,
    GetKeyReply,
    OpenConnect,
    OpenConnectReply,
    Qos,
    Reply,
    Request,
    Status,
    frame_of,
    json_of,
    read_json,
    read_reply_frame,
)

__all__ = ["AsyncStreamClient", "StreamClient"]

_SLACK_S: Final = 15.0
_PATHS: Final = {OpenConnect: "open_connect", GetKey: "get_key", Close: "close"}
_JSON: Final = {"content-type": "application/json"}
_REPLIES: Final[dict[type[Request], type[OpenConnectReply] | type[GetKeyReply] | type[CloseReply]]] = {
    OpenConnect: OpenConnectReply,
    GetKey: GetKeyReply,
    Close: CloseReply,
}

R = TypeVar("R", bound=Reply)


class _Line(Protocol):
    def exchange(self, request: Request, limit_s: float) -> Reply: ...
    def close(self) -> None: ...


class _AsyncLine(Protocol):
    async def exchange(self, request: Request, limit_s: float) -> Reply: ...
    async def close(self) -> None: ...


class StreamClient:
    """A waiting client. One call at a time; open one client per thread. Calls raise LinkDown and ProtocolError."""

    def __init__(self, line: _Line) -> None:
        self._line: Final = line
        self._wait_s = _SLACK_S

    @classmethod
    def over_frames(cls, address: Address, tls: ssl.SSLContext) -> StreamClient:
        """Connect to a site's stream port. Raises LinkDown."""
        return cls(_SocketLine(address, tls))

    @classmethod
    def over_http(cls, url: str, tls: ssl.SSLContext) -> StreamClient:
        """Use a site's JSON binding; `url` is the site's, such as https://kme.example:8443."""
        return cls(_HttpLine(url, tls))

    def open(
        self, source: str, destination: str, qos: Qos | None = None, stream_id: UUID | None = None
    ) -> OpenConnectReply:
        """OPEN_CONNECT. Without `stream_id` a new stream is made, whose id the other application has to be told."""
        asked = OpenConnect(source, destination, qos or Qos(), stream_id)
        self._wait_s = asked.qos.timeout_ms / 1000 + _SLACK_S
        return _expect(self._line.exchange(asked, self._wait_s), OpenConnectReply)

    def get_key(self, stream_id: UUID, index: int | None = None, metadata_bytes: int | None = None) -> GetKeyReply:
        """GET_KEY: chunk `index`, or the next one."""
        return _expect(self._line.exchange(GetKey(stream_id, index, metadata_bytes), self._wait_s), GetKeyReply)

    def close(self, stream_id: UUID) -> Status:
        """CLOSE."""
        return _expect(self._line.exchange(Close(stream_id), self._wait_s), CloseReply).status

    def disconnect(self) -> None:
        """Let go of the connection; streams stay as they are."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()


class AsyncStreamClient:
    """The asynchronous client; its calls wait for each other."""

    def __init__(self, line: _AsyncLine) -> None:
        self._line: Final = line
        self._wait_s = _SLACK_S

    @classmethod
    async def over_frames(cls, address: Address, tls: ssl.SSLContext) -> AsyncStreamClient:
        """Connect to a site's stream port. Raises LinkDown."""
        return cls(await _StreamLine.connect(address, tls))

    @classmethod
    def over_http(cls, url: str, tls: ssl.SSLContext) -> AsyncStreamClient:
        """Use a site's JSON binding; `url` is the site's, such as https://kme.example:8443."""
        return cls(_AsyncHttpLine(url, tls))

    async def open(
        self, source: str, destination: str, qos: Qos | None = None, stream_id: UUID | None = None
    ) -> OpenConnectReply:
        """OPEN_CONNECT. Without `stream_id` a new stream is made, whose id the other application has to be told."""
        asked = OpenConnect(source, destination, qos or Qos(), stream_id)
        self._wait_s = asked.qos.timeout_ms / 1000 + _SLACK_S
        return _expect(await self._line.exchange(asked, self._wait_s), OpenConnectReply)

    async def get_key(
        self, stream_id: UUID, index: int | None = None, metadata_bytes: int | None = None
    ) -> GetKeyReply:
        """GET_KEY: chunk `index`, or the next one."""
        asked = GetKey(stream_id, index, metadata_bytes)
        return _expect(await self._line.exchange(asked, self._wait_s), GetKeyReply)

    async def close(self, stream_id: UUID) -> Status:
        """CLOSE."""
        return _expect(await self._line.exchange(Close(stream_id), self._wait_s), CloseReply).status

    async def disconnect(self) -> None:
        """Let go of the connection; streams stay as they are."""
        await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()


def _expect(reply: Reply, kind: type[R]) -> R:
    if not isinstance(reply, kind):
        raise ProtocolError(f"the site answered {type(reply).__name__} where {kind.__name__} was due")
    return reply


class _SocketLine:
    """Frames over a blocking socket."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        try:
            plain = socket.create_connection((address.host, address.port), _SLACK_S)
        except OSError as error:
            raise LinkDown(f"cannot connect to {address}: {error}") from error
        try:
            self._socket: Final = tls.wrap_socket(plain, server_hostname=address.host)
        except OSError as error:
            plain.close()
            raise LinkDown(f"cannot connect to {address}: {error}") from error

    def exchange(self, request: Request, limit_s: float) -> Reply:
        payload = frame_of(request)
        try:
            self._socket.settimeout(limit_s)
            self._socket.sendall(len(payload).to_bytes(HEADER_BYTES, "big") + payload)
            length = int.from_bytes(self._exactly(HEADER_BYTES), "big")
            if length > MESSAGE_BYTES:
                raise ProtocolError(f"the site announced a reply of {length} bytes; at most {MESSAGE_BYTES} fit")
            return read_reply_frame(self._exactly(length))
        except OSError as error:
            self.close()
            raise LinkDown(f"the connection broke: {error}") from error

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionResetError("the site closed it")
            data += part
        return bytes(data)

    def close(self) -> None:
        self._socket.close()


class _StreamLine:
    """Frames over an asyncio stream."""

    def __init__(self, stream: FrameStream) -> None:
        self._stream: Final = stream
        self._turn: Final = asyncio.Lock()

    @classmethod
    async def connect(cls, address: Address, tls: ssl.SSLContext) -> Self:
        try:
            opening = asyncio.open_connection(address.host, address.port, ssl=tls, limit=2 * MESSAGE_BYTES)
            reader, writer = await asyncio.wait_for(opening, _SLACK_S)
        except (OSError, TimeoutError) as error:
            raise LinkDown(f"cannot connect to {address}: {error}") from error
        return cls(FrameStream(reader, writer))

    async def exchange(self, request: Request, limit_s: float) -> Reply:
        async with self._turn:
            try:
                async with asyncio.timeout(limit_s):
                    await self._stream.write((frame_of(request),))
                    payload = await self._stream.read(lambda: MESSAGE_BYTES)
            except BaseException as error:  # a reply that is not waited for must not be taken for the next one
                self._stream.abort()
                if isinstance(error, TimeoutError):
                    raise LinkDown(f"the site did not answer within {limit_s:g} s") from error
                raise
        if payload is None:
            raise LinkDown("the site closed the connection")
        return read_reply_frame(payload)

    async def close(self) -> None:
        with suppress(LinkDown):
            await self._stream.close()


class _HttpLine:
    """The JSON binding over a blocking HTTP client."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._client: Final = httpx.Client(base_url=url, verify=tls, trust_env=False)

    def exchange(self, request: Request, limit_s: float) -> Reply:
        path = f"/etsi004/v1/{_PATHS[type(request)]}"
        try:
            answer = self._client.post(path, content=json_of(request), headers=_JSON, timeout=limit_s)
        except httpx.HTTPError as error:
            raise LinkDown(f"the site cannot be reached: {error}") from error
        return _read(request, answer)

    def close(self) -> None:
        self._client.close()


class _AsyncHttpLine:
    """The JSON binding over an asynchronous HTTP client."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._client: Final = httpx.AsyncClient(base_url=url, verify=tls, trust_env=False)

    async def exchange(self, request: Request, limit_s: float) -> Reply:
        path = f"/etsi004/v1/{_PATHS[type(request)]}"
        try:
            answer = await self._client.post(path, content=json_of(request), headers=_JSON, timeout=limit_s)
        except httpx.HTTPError as error:
            raise LinkDown(f"the site cannot be reached: {error}") from error
        return _read(request, answer)

    async def close(self) -> None:
        await self._client.aclose()


def _read(request: Request, answer: httpx.Response) -> Reply:
    if answer.status_code != 200:
        raise ProtocolError(f"the site answered HTTP {answer.status_code}: {answer.text[:200]}")
    return read_json(answer.content, _REPLIES[type(request)])
