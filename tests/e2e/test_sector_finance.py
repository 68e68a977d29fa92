"""Finance: a FIX session through the tunnel, payments (ISO 20022) as files into an inbox; policy strict."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from live_sites import poliqi
from recording_relay import recording_relay
from sector_rig import extend, sector, tunnel

pytestmark = pytest.mark.slow

ORDERS = 200
SECRET = "riservato-4711"


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_fix_session_through_the_tunnel(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("simplefix", reason="simplefix is not installed (extra `test`)")
    from examples.finance import fix_session

    venue = fix_session.Venue(heartbeat_s=1.0)
    with recording_relay(venue.port) as far, sector("strict") as city:
        target = f'[[tunnel.target]]\nname = "fix"\naddress = "127.0.0.1:{far.port}"\npeers = ["leonardo"]\n'
        extend(city.bovisa, target)
        city.bovisa.start()
        direct = fix_session.trade("127.0.0.1", venue.port, ORDERS)
        with tunnel(city.leonardo, "bovisa:fix") as port, recording_relay(port) as near:
            trader = fix_session.Trader("127.0.0.1", near.port, heartbeat_s=1.0)
            took = [trader.order(f"O{i}", SECRET) for i in range(ORDERS)]
            server = venue.sessions[-1]

            # a message that is lost on its way is asked for again
            trader.session.lose_next = True
            with pytest.raises(fix_session.FixError):
                trader.order("LOST", SECRET, 0.05)
            trader.order("NEXT", SECRET)
            wait_for(lambda: "LOST" in trader.reports)
            assert server.resends_asked == 1
            assert trader.session.resends_done == 2

            trader.session.test()
            wait_for(lambda: trader.session.tests_answered == 1)
            before = far.seen_bytes
            wait_for(lambda: far.seen_bytes >= before + 2 * 60)  # a heartbeat of each side
            trader.session.logout()
            assert server.has_ended.wait(5)
            wait_for(lambda: near.seen_bytes == far.seen_bytes)
            sent, got = [sorted(map(bytes, relay.streams)) for relay in (near, far)]
        line = city.line
    venue.close()
    assert sent == got
    assert sum(map(len, sent)) > 2 * ORDERS * 150
    assert [name for name in trader.reports if name.startswith("O")] == [f"O{i}" for i in range(ORDERS)]
    assert len(trader.reports) == len(set(trader.reports)) == ORDERS + 2
    assert line.seen_bytes > sum(map(len, sent))
    for marker in (SECRET.encode(), b"8=FIX.4.4", b"\x0135=D\x01", b"TRADER", b"IT60X0542811101000000123456"):
        assert not line.holds(marker)
    with capsys.disabled():
        for name, times in (("direct", direct), ("tunnel", took)):
            times.sort()
            p99 = times[int(0.99 * len(times))]
            print(
                f"\nFIX round trip, {name}: median {1e3 * statistics.median(times):.2f} ms, p99 {1e3 * p99:.2f} ms"
            )


def payment() -> ModuleType:
    for name in ("pyiso20022", "xsdata"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (extra `test`)")
    from examples.finance import payment

    return payment


def test_payments_arrive_whole_and_are_booked(tmp_path: Path) -> None:
    iso = payment()
    from examples.finance import watch_inbox

    files = {f"payments-{i}.xml": iso.make(i, SECRET) for i in (1, 40)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with sector("strict") as city:
        city.bovisa.start()
        for name in files:
            poliqi("send", tmp_path / name, "bovisa", "--sae", city.leonardo.toml)
        found = list(watch_inbox.arrived(city.bovisa.inbox))
        said = [watch_inbox.book(path, tmp_path / "booked") for path in found]
        line = city.line
    assert [is_sound for is_sound, _ in said] == [True, True]
    assert any("40 transfers, 82205.00 EUR" in text for _, text in said)
    booked = {path.name: path.read_bytes() for path in (tmp_path / "booked" / "done").glob("*/*.xml")}
    assert booked == files
    assert line.seen_bytes > 1000
    for marker in (SECRET.encode(), b"pacs.008", iso.DEBTOR.encode(), b"payments-1.xml", b"Erika"):
        assert not line.holds(marker)


def test_a_payment_that_is_none_is_put_aside(tmp_path: Path) -> None:
    iso = payment()
    from examples.finance import watch_inbox

    inbox = tmp_path / "inbox" / "intesa"
    inbox.mkdir(parents=True)
    good = iso.make(2)
    wrong = {
        "digits.xml": good.replace(iso.DEBTOR.encode(), iso.DEBTOR[:-1].encode() + b"7"),
        "count.xml": good.replace(b"<NbOfTxs>2</NbOfTxs>", b"<NbOfTxs>3</NbOfTxs>"),
        "unknown.xml": good.replace(b"<MsgId>", b"<Extra>1</Extra><MsgId>"),
        "entity.xml": good.replace(b"<Document", b'<!DOCTYPE d [<!ENTITY e "x">]><Document'),
        "half.xml": good[: len(good) // 2],
    }
    for name, data in {**wrong, "good.xml": good}.items():
        (inbox / name).write_bytes(data)
    found = list(watch_inbox.arrived(tmp_path / "inbox"))
    said = {path.name: watch_inbox.book(path, tmp_path / "out")[0] for path in found}
    assert {name for name, is_sound in said.items() if not is_sound} == set(wrong)
    assert {path.name for path in (tmp_path / "out" / "wrong" / "intesa").iterdir()} == set(wrong)
    assert not list(watch_inbox.arrived(tmp_path / "inbox"))


@pytest.mark.parametrize(
    "iban", ["IT60X0542811101000000123456", "DE89370400440532013000", "GB82WEST12345698765432"]
)
def test_published_ibans_are_sound(iban: str) -> None:
    iso = payment()
    assert iso.is_iban(iban)
    assert not iso.is_iban(iban[:-1] + str((int(iban[-1]) + 1) % 10))


def test_the_scripts_say_how_they_are_used() -> None:
    payment()
    done = subprocess.run(
        [sys.executable, "examples/finance/payment.py", "nonsense"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "pacs.008" in done.stderr
