"""Keys of the own site over real TLS: a certificate that has ended is named, another is taken up while it runs."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import SERVER, Authority

from poliqi.apps.keysource import SiteKeys
from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.base.ids import SaeId

PEER = SaeId("bovisa1")
STATUS = dict.fromkeys(
    ("key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size"), 8
) | {"max_SAE_ID_count": 0, "source_KME_ID": "s", "target_KME_ID": "t", "master_SAE_ID": "a", "slave_SAE_ID": "b"}


class Site:
    """Answers each request with a status, to callers whose certificate TLS believes; notes serial numbers."""

    def __init__(self, authority: Authority) -> None:
        pair = authority.issue("kme", hosts=("127.0.0.1",), usages=(SERVER,))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(authority.path)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.serials: list[int] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            raw.settimeout(10)
            with contextlib.suppress(OSError), self.context.wrap_socket(raw, server_side=True) as connection:
                found = connection.getpeercert()
                assert found is not None
                self.serials.append(int(str(found["serialNumber"]), 16))
                while connection.recv(65536):
                    body = json.dumps(STATUS).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            raw.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_certificate_that_has_ended_is_named_with_its_date_and_what_to_do(authority: Authority) -> None:
    site = Site(authority)
    ended = authority.issue("bank", lives=timedelta(days=-3))
    keys = SiteKeys(site.url, ended.certificate, ended.key, authority.path)
    with pytest.raises(AuthenticationError) as refused:
        keys.supply(PEER)
    keys.close()
    site.listener.close()
    text = str(refused.value)
    assert str(ended.certificate) in text
    assert f"{ended.parsed.not_valid_after_utc:%Y-%m-%d}" in text
    assert "poliqi pki issue" in text
    assert "poliqi sae reload" in text


def test_another_certificate_is_taken_up_while_it_runs(authority: Authority) -> None:
    site = Site(authority)
    ended, fresh = authority.issue("bank", lives=timedelta(days=-3)), authority.issue("bank")
    keys = SiteKeys(site.url, ended.certificate, ended.key, authority.path)
    swap = keys.renewal(fresh.certificate, fresh.key, authority.path)
    with pytest.raises(AuthenticationError):  # nothing has changed before it is asked to
        keys.supply(PEER)
    swap()
    assert keys.supply(PEER).available_bytes == 8
    keys.close()
    site.listener.close()
    assert site.serials == [fresh.parsed.serial_number]


def test_files_that_are_no_good_change_nothing(authority: Authority, tmp_path: Path) -> None:
    site, good = Site(authority), authority.issue("bank")
    keys = SiteKeys(site.url, good.certificate, good.key, authority.path)
    with pytest.raises(ConfigError):
        keys.renewal(tmp_path / "none.pem", good.key, authority.path)
    assert keys.supply(PEER).available_bytes == 8
    keys.close()
    site.listener.close()
