"""Every conformance check of stream encryptors passes what is sound and finds what is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from broken_encryptors import SOUND, changed

from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.ends import FramedEnd, FramedStream, PlainStream
from poliqi.apps.testbench.outcome import Verdict
from poliqi.apps.testbench.project import PROJECT
from poliqi.apps.testbench.seams import StreamEncryptor
from poliqi.apps.testbench.streamchecks import STREAM_CHECKS
from poliqi.base.errors import ProtocolError


def failed(encryptor: Any) -> set[str]:
    findings = run_checks(encryptor, STREAM_CHECKS)
    return {finding.check for finding in findings if finding.verdict is not Verdict.PASSED}


class CutIsTheEnd(FramedStream):
    """A connection that is lost between two records, or in one, is taken for the end."""

    def _framed(self, connection: Any, end: Any) -> FramedEnd:
        framed = super()._framed(connection, end)
        receive = framed.recv_into

        def recv_into(buffer: Any) -> int:
            try:
                return receive(buffer)
            except (ProtocolError, OSError) as error:
                if "cut" in str(error) or isinstance(error, OSError):
                    return 0
                raise

        framed.recv_into = recv_into  # type: ignore[method-assign]
        return framed


# a framed cipher has no handshake: with the same key, a recorded call is taken again
CASES: dict[str, tuple[set[str], Callable[[], Any]]] = {
    "framed, with no handshake": ({"replay"}, lambda: FramedStream(SOUND)),
    "loses octets": (
        {"round trip", "plaintext", "flip", "replay"},
        lambda: FramedStream(changed(loses=1)),
    ),
    "sends plaintext": ({"plaintext", "replay"}, lambda: FramedStream(changed(encrypts=False))),
    "does not authenticate": ({"flip", "replay"}, lambda: FramedStream(changed(checks_body=False))),
    "takes a cut for the end": ({"truncation", "replay"}, lambda: CutIsTheEnd(SOUND)),
    "does not use the key": ({"wrong key", "replay"}, lambda: FramedStream(changed(uses_key=False))),
}


@pytest.mark.parametrize("what", CASES)
def test_each_fault_is_found(what: str) -> None:
    expected, make = CASES[what]
    assert failed(make()) == expected


def test_plain_tcp_fails_everything_but_to_carry() -> None:
    assert failed(PlainStream()) == {name for name, _ in STREAM_CHECKS} - {"round trip"}


@pytest.mark.parametrize("stream", PROJECT, ids=lambda stream: stream.name)
def test_the_streams_of_the_project_pass(stream: StreamEncryptor) -> None:
    assert failed(stream) == set()


def test_what_cannot_be_seen_is_not_passed() -> None:
    class Datagrams(PlainStream):
        is_datagram = True

    findings = {f.check: f.verdict for f in run_checks(Datagrams(), STREAM_CHECKS)}
    assert findings["flip"] is findings["replay"] is findings["plaintext"] is Verdict.NOT_SEEN
    assert findings["wrong key"] is Verdict.FAILED
