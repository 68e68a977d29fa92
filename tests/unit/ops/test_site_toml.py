"""site.toml: every key is read and documented; what is wrong is named, with its file and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.edge.network import Address
from poliqi.keys.buckets import Quota, Rate
from poliqi.keys.grade import Combiner, KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.policy import KeyLimits
from poliqi.keys.relay_messages import Scheme
from poliqi.node.site_settings import (
    KekFolder,
    KekToken,
    ListenSettings,
    NeighbourSettings,
    PeerSettings,
    PoolSettings,
    RelaySettings,
    SdnSettings,
    TlsSettings,
)
from poliqi.ops.site_tables import TABLES
from poliqi.ops.site_toml import load_site, read_site

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "site-toml.md"
HERE = Path("/etc/poliqi/site.toml")

SHORTEST = """
site = "leonardo"
state = "state"
[kek]
folder = "kek"
[tls]
certificate = "site.pem"
key = "site.key"
authority = "ca.pem"
"""

FULL = """
site = "leonardo"
state = "/var/lib/poliqi"
drain = "10 s"
[kek]
module = "/usr/lib/softhsm/libsofthsm2.so"
token = "poliqi"
pin_file = "pin"
[tls]
certificate = "site.pem"
key = "site.key"
authority = "ca.pem"
revoked = "crl.pem"
trust = "trust"
[listen]
neighbours = "192.0.2.1:8020"
neighbours_url = "https://leonardo.example:8020"
status = "[::1]:9000"
https = "0.0.0.0:8443"
streams = "0.0.0.0:8444"
peers = "0.0.0.0:8445"
ingest = "/run/poliqi/ingest.sock"
ingest_users = [990]
block_push = "127.0.0.1:8446"
sdn = "0.0.0.0:8447"
[policy]
origins = ["photons", "replay"]
max_epsilon = 1e-9
information_theoretic_only = false
never_through = ["barracks"]
max_relays = 2
min_paths = 1
hybrid = "xor"
[limits]
key_size = "128 bit"
min_size = "64 bit"
max_size = "8 kbit"
max_number = 64
max_slaves = 4
ttl = "10 min"
priority = 1
key_rate = "100 keys/s"
key_burst = 500
bit_rate = "1 Mbit/s"
bit_burst = "2 Mbit"
[[peer]]
site = "bovisa"
address = "bovisa.example:8445"
[[peer.pool]]
link = "leonardo-bovisa"
low_water = "2 Mbit"
capacity = "1 Gbit"
[[peer]]
site = "aria"
[[relay]]
link = "leonardo-intesa"
to = "intesa"
scheme = "xor"
needed = 2
paths = [["leonardo", "bovisa", "intesa"], ["leonardo", "aria", "intesa"]]
block = "32 kbit"
low_water = "1 Mbit"
capacity = "10 Mbit"
[[sae]]
id = "bank"
priority = 7
max_number = 1
key_rate = "10 keys/s"
[[sae]]
id = "vault"
site = "intesa"
[[sae]]
id = "clinic"
site = "aria"
[[sae]]
id = "guest"
site = "foreign"
[[allow]]
between = ["bank", "vault"]
max_epsilon = 1e-10
never_through = ["aria"]
key_rate = "5 keys/s"
key_burst = 20
[[allow]]
master = "clinic"
slaves = ["bank"]
initiator_readback = true
hybrid = "xor"
[[neighbour]]
site = "foreign"
url = "https://kme.example:9443/"
authority = "foreign-ca.pem"
[sdn]
readers = ["controller", "noc"]
location = "Milano, Piazza Leonardo da Vinci 32"
qber = true
[audit]
keep = "30 d"
"""


def test_the_shortest_file() -> None:
    s = read_site(SHORTEST, HERE)
    assert (s.source, s.site, s.state) == (HERE, "leonardo", Path("/etc/poliqi/state"))
    assert s.kek == KekFolder(Path("/etc/poliqi/kek"))
    assert s.tls == TlsSettings(*(Path("/etc/poliqi") / name for name in ("site.pem", "site.key", "ca.pem")))
    assert s.listen == ListenSettings(status=Address("127.0.0.1", 9140))
    assert (s.peers, s.relays, s.neighbours) == ((), (), ())
    assert s.policy.rule == GradeRule()
    assert s.policy.rule.origins == {KeyOrigin.PHOTONS}
    assert s.policy.limits(SaeId("anybody")) == KeyLimits()


def test_every_table_is_read() -> None:
    s = read_site(FULL, HERE)
    etc = Path("/etc/poliqi")
    assert (s.state, s.drain_s, s.audit_keep_s) == (Path("/var/lib/poliqi"), 10.0, 2_592_000.0)
    assert s.kek == KekToken(Path("/usr/lib/softhsm/libsofthsm2.so"), "poliqi", etc / "pin")
    assert (s.tls.revoked, s.tls.trust) == (etc / "crl.pem", etc / "trust")
    assert s.listen == ListenSettings(
        status=Address("::1", 9000),
        https=Address("0.0.0.0", 8443),
        streams=Address("0.0.0.0", 8444),
        peers=Address("0.0.0.0", 8445),
        ingest=Path("/run/poliqi/ingest.sock"),
        ingest_uids=frozenset({990}),
        block_push=Address("127.0.0.1", 8446),
        neighbours=Address("192.0.2.1", 8020),
        neighbours_url="https://leonardo.example:8020",
        sdn=Address("0.0.0.0", 8447),
    )
    place = "Milano, Piazza Leonardo da Vinci 32"
    assert s.sdn == SdnSettings(frozenset({"controller", "noc"}), place, qber=True)
    pool = PoolSettings("leonardo-bovisa", 2_000_000, 1_000_000_000)  # type: ignore[arg-type]
    assert s.peers == (
        PeerSettings(KmeId("bovisa"), Address("bovisa.example", 8445), (pool,)),
        PeerSettings(KmeId("aria"), None, ()),
    )
    assert s.relays == (
        RelaySettings(
            PoolSettings("leonardo-intesa", 1_000_000, 10_000_000),  # type: ignore[arg-type]
            KmeId("intesa"),
            Scheme.XOR,
            (("leonardo", "bovisa", "intesa"), ("leonardo", "aria", "intesa")),  # type: ignore[arg-type]
            2,
            4000,
        ),
    )
    assert s.neighbours == (
        NeighbourSettings(KmeId("foreign"), "https://kme.example:9443", etc / "foreign-ca.pem"),
    )


def test_the_policy_is_read() -> None:
    p = read_site(FULL, HERE).policy
    bank, vault, clinic = SaeId("bank"), SaeId("vault"), SaeId("clinic")
    assert p.rule.max_epsilon == 1e-9
    assert p.rule.origins == {KeyOrigin.PHOTONS, KeyOrigin.REPLAY}
    assert p.rule.max_relays == 2
    assert (p.home(bank), p.home(vault), p.home(SaeId("guest"))) == ("leonardo", "intesa", "foreign")
    site = KeyLimits(128, 64, 8000, 64, 4, 600.0, 1)
    assert p.limits(SaeId("anybody")) == site
    assert (p.limits(bank).priority, p.limits(bank).max_number, p.limits(bank).key_size_bits) == (7, 1, 128)
    assert p.quota(bank, None) == Quota(Rate(10.0, 10.0), Rate(1e6, 2e6))
    assert p.quota(vault, None) == Quota(Rate(100.0, 500.0), Rate(1e6, 2e6))
    assert p.quota(bank, vault) == Quota(Rate(5.0, 20.0))
    assert p.judge_pair(bank, (vault,)) is None
    assert p.judge_pair(bank, (clinic,)) is not None
    assert p.judge_promise(clinic, bank, KmeId("aria")) is None
    assert p.combiner(bank, vault) is Combiner.XOR
    assert p.initiator_readback(clinic, bank)
    assert not p.initiator_readback(bank, vault)


@pytest.mark.parametrize("name", ["leonardo", "bovisa"])
def test_the_examples_are_read(name: str) -> None:
    s = load_site(ROOT / "examples" / "two-sites" / f"{name}.toml")
    assert s.site == name
    assert s.policy.judge_pair(SaeId(f"bank-{name}"), (SaeId("bank-bovisa"),)) is None or name == "bovisa"


def test_the_examples_fit_each_other() -> None:
    one, other = (load_site(ROOT / "examples" / "two-sites" / f"{n}.toml") for n in ("leonardo", "bovisa"))
    assert other.peers[0].address == one.listen.peers
    assert one.peers[0].address is None
    assert other.listen.peers is None
    assert one.peers[0].pools == other.peers[0].pools


def changed(old: str, new: str) -> str:
    assert old in FULL
    return FULL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("site = ", "not TOML"),
        (SHORTEST + "[listen]\nhttp = 1", "unknown field `http`"),
        (changed('site = "leonardo"\nstate', 'site = " leonardo"\nstate'), "site ' leonardo'"),
        (changed('pin_file = "pin"\n', ""), "kek: give `folder`"),
        (changed('pin_file = "pin"', 'pin_file = "pin"\nfolder = "x"'), "kek: give `folder`"),
        (changed('certificate = "site.pem"', 'certificate = ""'), "tls.certificate ''"),
        (changed('"[::1]:9000"', '"0.0.0.0:9000"'), "nobody is authenticated there"),
        (changed('"127.0.0.1:8446"', '"10.0.0.1:8446"'), "listen.block_push"),
        (changed('"0.0.0.0:8443"', '"0.0.0.0"'), "write HOST:PORT"),
        (changed('"0.0.0.0:8443"', '"0.0.0.0:8444"'), "listen '0.0.0.0:8444': named twice"),
        (changed('neighbours = "192.0.2.1:8020"\n', ""), "give both, or neither"),
        (changed("/run/poliqi/ingest.sock", "/" + "x" * 107), "longer than 107 bytes"),
        (changed('"photons", "replay"', '"photons", "magic"'), "Invalid enum value 'magic'"),
        (changed("max_epsilon = 1e-9", "max_epsilon = 2.0"), "policy.max_epsilon 2 is outside 0 to 1"),
        (changed('hybrid = "xor"\n[limits]', 'hybrid = "hkdf-sha384"\n[limits]'), "two kinds of hybrid"),
        (changed('initiator_readback = true\nhybrid = "xor"', 'hybrid = "none"'), "demands 'xor' for all"),
        (changed('key_size = "128 bit"', "key_size = 128"), "which has no unit"),
        (changed('key_size = "128 bit"', 'key_size = "129 bit"'), "a multiple of 8"),
        (changed('key_size = "128 bit"', 'key_size = "32 bit"'), "outside min_size 64 bit"),
        (changed("max_number = 64", "max_number = 0"), "limits.max_number 0: give 1 to 4096"),
        (changed("priority = 7", "priority = 8"), "sae 'bank'.priority 8: give 0 to 7"),
        (changed('ttl = "10 min"', 'ttl = "31 d"'), "give 1 s to 30 d"),
        (changed('key_rate = "100 keys/s"\n', ""), "a burst without a rate"),
        (changed('"100 keys/s"', '"0 keys/s"'), "more than 0 keys/s"),
        (changed('site = "bovisa"', 'site = "leonardo"'), "this site itself"),
        (changed('trust = "trust"\n', ""), "tls.trust: missing"),
        (changed('peers = "0.0.0.0:8445"\n', ""), "bovisa calls this site"),
        (changed('[[peer]]\nsite = "aria"', '[[peer]]\nsite = "milano"'), "peer.address: missing for 'milano'"),
        (changed('[[peer]]\nsite = "aria"', '[[peer]]\nsite = "bovisa"'), "peer.site 'bovisa': named twice"),
        (changed('link = "leonardo-bovisa"', 'link = "a b"'), "peer.pool.link"),
        (changed('link = "leonardo-intesa"', 'link = "leonardo-bovisa"'), "link 'leonardo-bovisa': named twice"),
        (changed('low_water = "2 Mbit"', 'low_water = "1 Gbit"'), "low_water < capacity"),
        (changed('["leonardo", "aria", "intesa"]', '["leonardo", "bovisa", "intesa"]'), "share a site"),
        (changed('["leonardo", "aria", "intesa"]', '["leonardo", "barracks", "intesa"]'), "no [[peer]] 'barracks'"),
        (changed('"aria", "intesa"]', '"aria", "barracks", "intesa"]'), "policy.never_through says never"),
        (changed('["leonardo", "aria", "intesa"]', '["leonardo", "aria", "bank"]'), "ends with 'intesa'"),
        (changed("needed = 2", "needed = 1"), "relay.needed 1"),
        (changed('scheme = "xor"', 'scheme = "single"'), "one path over at least one relay, and there are 2"),
        (changed('scheme = "xor"', 'scheme = "shamir"'), "three paths or more, and there are 2"),
        (changed('block = "32 kbit"', 'block = "1 Mbit"'), "relay.block '1 Mbit'"),
        (changed('site = "intesa"', 'site = "intessa"'), "no [[peer]], [[relay]] or [[neighbour]]"),
        (changed('id = "clinic"', 'id = "bank"'), "registered twice"),
        (changed('slaves = ["bank"]', 'slaves = ["stranger"]'), "stranger: allowed to have keys but not"),
        (changed('slaves = ["bank"]', "slaves = []"), "allow: give `between`"),
        (changed('between = ["bank", "vault"]', 'between = ["bank", "bank"]'), "two different applications"),
        (changed('master = "clinic"\nslaves = ["bank"]', 'between = ["bank", "vault"]'), "allowed twice"),
        (changed("https://kme.example:9443/", "http://kme.example"), "write https://HOST:PORT"),
        (changed('keep = "30 d"', 'keep = "30"'), "audit.keep"),
        (changed('sdn = "0.0.0.0:8447"\n', ""), "listen.sdn and [sdn]: give both"),
        (SHORTEST + '[listen]\nsdn = "127.0.0.1:1"', "listen.sdn and [sdn]: give both"),
        (changed('readers = ["controller", "noc"]', "readers = []"), "sdn.readers: empty"),
        (changed('readers = ["controller", "noc"]', 'readers = ["noc", "noc"]'), "sdn.readers 'noc': named twice"),
        (changed('readers = ["controller", "noc"]', 'readers = [" x"]'), "sdn.readers ' x'"),
        (changed("Piazza Leonardo", "\\u0007"), "sdn.location"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_site(text, HERE)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{HERE}: ")


def test_a_shamir_relay_needs_more_than_half() -> None:
    three = '["leonardo", "aria", "intesa"], ["leonardo", "intesa"]'
    text = changed('["leonardo", "aria", "intesa"]', three).replace('scheme = "xor"', 'scheme = "shamir"')
    text += '[[peer]]\nsite = "intesa"\n'
    assert read_site(text, HERE).relays[0].needed == 2
    assert read_site(text.replace("needed = 2\n", ""), HERE).relays[0].needed == 2
    with pytest.raises(ConfigError, match="more than half"):
        read_site(text.replace("needed = 2", "needed = 1"), HERE)


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load_site(file)
    file.write_bytes(b"site = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_site(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_site(tmp_path / "nothing.toml")


LINES = FULL.strip().splitlines()


@given(st.data())
def test_any_damage_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key = lines[at].split(" = ")[0]
        value: Any = data.draw(
            st.sampled_from(
                ['""', "-1", "1e999", "nan", "[]", "true", '"1 bit"', '"1e300 Gbit"', '"é"', "{}", "[[[]]]"]
            )
        )
        lines[at] = f"{key} = {value}" if "=" in lines[at] else data.draw(st.sampled_from(["", "[x]", lines[at]]))
    try:
        read_site("\n".join(lines), HERE)
    except ConfigError as error:
        assert str(error).startswith(f"{HERE}: ")


@pytest.mark.parametrize("name", TABLES)
def test_every_key_is_documented(name: str) -> None:
    title = "top" if not name else rf"\[{{1,2}}{re.escape(name)}\]{{1,2}}"
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section of {name or 'top'}"
    for field in TABLES[name].__struct_fields__:
        if not (name == "" and f"[{field}]" in PAGE.read_text()):
            assert f"| `{field}` |" in found[1], f"{name}.{field}"
