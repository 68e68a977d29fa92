"""The Python client over real TLS: who is met, what is asked again and what never is."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Pair

from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, ProtocolError
from poliqi.edge.keyclient import AsyncKeyClient, KeyClient, KeysNotReady

KEY = {"key_ID": "bc490419-7d60-487f-adc1-4ddcc177c139", "key": "wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s="}
STATUS = dict.fromkeys(
    ("key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size"), 8
) | {"max_SAE_ID_count": 0, "source_KME_ID": "s", "target_KME_ID": "t", "master_SAE_ID": "a", "slave_SAE_ID": "b"}
DROP = b""
PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "get-keys-from-python.md"


class Site:
    """A TLS server that answers with the next of `answers`, or hangs up on DROP; notes connections and requests."""

    def __init__(self, pair: Pair, authority: Authority) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(authority.path)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            raw.settimeout(10)
            try:
                with self.context.wrap_socket(raw, server_side=True) as connection:
                    self.connections += 1
                    while self._answer(connection):
                        pass
            except OSError:
                raw.close()

    def _answer(self, connection: ssl.SSLSocket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return False
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        answer = self.answers.pop(0)
        if answer == DROP:
            return False
        connection.sendall(answer)
        return True

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def http(status: int, value: Any, *headers: str) -> bytes:
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def bank(authority: Authority) -> Pair:
    return authority.sae("bank")


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    made = Site(authority.kme("leonardo"), authority)
    yield made
    made.close()


def client(site: Site, bank: Pair, authority: Authority, **changes: Any) -> KeyClient:
    return KeyClient(site.url, cert=bank.certificate, key=bank.key, ca=authority.path, **changes)


def test_keys_over_one_connection(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [http(200, {"keys": [KEY]})] * 2 + [http(200, STATUS)]
    with client(site, bank, authority) as kme:
        assert kme.get_key("vault").size_bits == 256
        assert kme.get_named_key("vault", KEY["key_ID"]).key_id == KEY["key_ID"]
        assert kme.status("vault").stored_keys == 8
    assert site.connections == 1
    paths = [request.split(b" ")[:2] for request in site.requests]
    assert paths == [
        [b"POST", b"/api/v1/keys/vault/enc_keys"],
        [b"POST", b"/api/v1/keys/vault/dec_keys"],
        [b"GET", b"/api/v1/keys/vault/status"],
    ]


def test_the_examples_of_the_documentation(
    site: Site, bank: Pair, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name in ("leonardo", "bovisa"):
        pki = Path("run", name, "pki")
        (pki / "issued").mkdir(parents=True)
        shutil.copy(bank.certificate, pki / "issued" / f"sae-bank-{name}-01-chain.pem")
        shutil.copy(bank.key, pki / "issued" / f"sae-bank-{name}-01.key")
        shutil.copy(authority.path, pki / "ca.pem")
    site.answers = [http(200, {"keys": [KEY | {"key_extension": {"grade": "its"}}]})] * 2
    taken: list[bytes] = []
    words: dict[str, Any] = {"encrypt_with": taken.append, "decrypt_with": taken.append, "key_id": KEY["key_ID"]}
    exec(re.sub(r"https://localhost:\d+", site.url, "\n".join(blocks)), words)
    assert len(taken[0]) == 32
    assert taken[0] == taken[1]


def test_the_same_awaited(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [http(200, {"keys": [KEY]}), http(200, {"keys": [KEY]}), http(200, STATUS)]

    async def run() -> None:
        async with AsyncKeyClient(site.url, cert=bank.certificate, key=bank.key, ca=authority.path) as kme:
            assert (await kme.get_key("vault")).size_bits == 256
            assert (await kme.get_named_key("vault", KEY["key_ID"])).size_bits == 256
            assert (await kme.status("vault")).max_slaves == 0

    asyncio.run(run())
    assert site.connections == 1


def test_a_key_shows_nothing_of_itself(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [http(200, {"keys": [KEY]})]
    with client(site, bank, authority) as kme:
        shown = repr(kme.get_key("vault"))
    assert KEY["key"] not in shown
    assert "c071d5" not in shown.lower()


def test_a_lost_status_is_asked_again(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [DROP, http(200, STATUS)]
    with client(site, bank, authority) as kme:
        assert kme.status("vault").key_size_bits == 8
    assert len(site.requests) == 2


@pytest.mark.parametrize("names", [None, ["x"]])
def test_lost_keys_are_never_asked_for_again(
    site: Site, bank: Pair, authority: Authority, names: list[str] | None
) -> None:
    site.answers = [DROP, http(200, {"keys": [KEY]})]
    with client(site, bank, authority) as kme, pytest.raises(LinkDown, match="is used up"):
        kme.get_key("vault") if names is None else kme.get_named_keys("vault", names)
    assert len(site.requests) == 1


def test_lost_keys_are_never_asked_for_again_when_awaited(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [DROP, http(200, {"keys": [KEY]})]

    async def run() -> None:
        async with AsyncKeyClient(site.url, cert=bank.certificate, key=bank.key, ca=authority.path) as kme:
            with pytest.raises(LinkDown, match="is used up"):
                await kme.get_key("vault")

    asyncio.run(run())
    assert len(site.requests) == 1


def test_too_few_keys_say_when_to_come_back(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [http(503, {"message": "too few"}, "Retry-After: 3")]
    with client(site, bank, authority) as kme, pytest.raises(KeysNotReady) as caught:
        kme.get_key("vault")
    assert caught.value.retry_s == 3.0


def test_an_answer_without_end_is_dropped(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [b"HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100]
    with client(site, bank, authority) as kme, pytest.raises(ProtocolError, match="longer than"):
        kme.get_key("vault")


def test_a_redirection_is_not_followed(site: Site, bank: Pair, authority: Authority) -> None:
    site.answers = [http(307, {}, f"Location: {site.url}/other")]
    with client(site, bank, authority) as kme, pytest.raises(ProtocolError, match="HTTP 307"):
        kme.get_key("vault")
    assert len(site.requests) == 1


def test_a_site_of_another_authority_is_not_believed(site: Site, bank: Pair, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with client(site, bank, other) as kme, pytest.raises(AuthenticationError, match="not accepted"):
        kme.status("vault")
    assert site.requests == []


def test_a_site_of_another_name_is_not_believed(bank: Pair, authority: Authority) -> None:
    wrong = Site(authority.issue("x", hosts=("elsewhere.example",), usages=()), authority)
    try:
        with client(wrong, bank, authority) as kme, pytest.raises(AuthenticationError, match="not accepted"):
            kme.status("vault")
    finally:
        wrong.close()


def test_a_caller_of_another_authority_is_told_so(site: Site, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other").sae("bank")
    with client(site, stranger, authority) as kme, pytest.raises((AuthenticationError, LinkDown)):
        kme.get_key("vault")
    assert site.requests == []


def test_nobody_there(bank: Pair, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        KeyClient(f"https://127.0.0.1:{port}", cert=bank.certificate, key=bank.key, ca=authority.path) as kme,
        pytest.raises(LinkDown, match="cannot be reached"),
    ):
        kme.get_key("vault")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "localhost:8443",
        "https://",
        "https://h/api/v1",
        "https://u:p@h",
        "https://h?x=1",
        "https://h:port",
    ],
)
def test_only_plain_https_urls(url: str, bank: Pair, authority: Authority) -> None:
    with pytest.raises(ConfigError, match="https://HOST:PORT"):
        KeyClient(url, cert=bank.certificate, key=bank.key, ca=authority.path)


def test_files_that_are_no_good_are_named(bank: Pair, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing: No such file"):
        KeyClient("https://h", cert=bank.certificate, key=bank.key, ca=tmp_path / "nothing")
    with pytest.raises(ConfigError, match="belong together"):
        KeyClient("https://h", cert=bank.certificate, key=authority.path, ca=authority.path)


def test_the_environment_changes_nothing(
    site: Site, bank: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "keylog"
    monkeypatch.setenv("SSLKEYLOGFILE", str(secrets))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    site.answers = [http(200, STATUS)]
    with client(site, bank, authority) as kme:
        kme.status("vault")
    assert not secrets.exists()
