"""Administration: a PDF with a PAdES signature (pyHanko) by SFTP (asyncssh) through the tunnel, policy hybrid."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_sites import free_ports
from sector_rig import extend, sector, tunnel

pytest.importorskip("asyncssh", reason="asyncssh is not installed (extra `test`)")
pytest.importorskip("pyhanko", reason="pyHanko is not installed (extra `test`)")

from examples.administration import sftp_office, signed_document  # after the skip

pytestmark = pytest.mark.slow

TEXT = "Determina n. 4711 riservata"


@contextmanager
def office(folder: Path, arrived: Path) -> Iterator[int]:
    """The SFTP server in a thread of its own; its port."""
    (port,) = free_ports(1)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(sftp_office.take(port, folder, arrived))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:

        async def end() -> None:
            server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 5)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_signed_order_arrives_by_sftp_valid_and_unseen(tmp_path: Path) -> None:
    people, arrived = tmp_path / "people", tmp_path / "arrived"
    signed_document.make_people(people)
    sftp_office.make_keys(people)
    order = tmp_path / "order.pdf"
    order.write_bytes(signed_document.make(people, TEXT))
    big = tmp_path / "annex.bin"
    big.write_bytes(bytes(range(256)) * 12_000)
    with office(people, arrived) as port, sector("hybrid") as city:
        target = f'[[tunnel.target]]\nname = "sftp"\naddress = "127.0.0.1:{port}"\npeers = ["leonardo"]\n'
        extend(city.bovisa, target)
        city.bovisa.start()
        with tunnel(city.leonardo, "bovisa:sftp") as near:
            asyncio.run(sftp_office.put("127.0.0.1", near, people, [order, big]))
        line = city.line
    got = (arrived / "order.pdf").read_bytes()
    assert got == order.read_bytes()
    assert (arrived / "annex.bin").read_bytes() == big.read_bytes()
    assert not list(arrived.glob("*.part"))
    assert signed_document.check(people / "authority.pem", got) == "Anna Bianchi"
    assert TEXT.encode() in got
    assert line.seen_bytes > big.stat().st_size
    # not even that it is SSH can be seen on the line
    for marker in (TEXT.encode(), b"%PDF-", b"SSH-2.0", b"order.pdf", b"curve25519-sha256"):
        assert not line.holds(marker)


def test_a_changed_document_and_a_stranger_s_are_told_apart(tmp_path: Path) -> None:
    for name in ("own", "stranger"):
        signed_document.make_people(tmp_path / name)
    data = signed_document.make(tmp_path / "own", TEXT)
    trusted = tmp_path / "own" / "authority.pem"
    assert signed_document.check(trusted, data) == "Anna Bianchi"
    for other in (
        data.replace(b"4711", b"4712"),
        data[: len(data) // 2],
        b"no PDF",
        signed_document.make(tmp_path / "stranger", TEXT),
    ):
        with pytest.raises(ValueError, match=r"it cannot be read|not valid|signatures"):
            signed_document.check(trusted, other)
