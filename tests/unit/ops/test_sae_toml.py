"""SAE.toml: what is read, and what is refused with the key, the value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import Knowledge
from poliqi.apps.stream.terms import Mode, Policy
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.sae_toml import find_sae_file, load_sae, read_sae

HEAD = 'identity = "identity.key"\n'
SITE = '[site]\nurl = "https://127.0.0.1:1"\ncertificate = "c.pem"\nkey = "k.pem"\nauthority = "ca.pem"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sae")
    for name in ("bank", "bovisa1", "aria1"):
        identity = Identity.make(SaeId(name), OperatingSystemEntropy())
        (made / f"{name}.pub").write_text(identity.contact.text())
        if name == "bank":
            identity.write(made / "identity.key")
    return made


def peer(name: str, more: str = "") -> str:
    return f'[[peer]]\ncontact = "{name}.pub"\n{more}\n'


def test_a_short_file_is_enough_and_strict(folder: Path) -> None:
    s = read_sae(HEAD + SITE + peer("bovisa1", 'place = "Bovisa"\naddress = "[::1]:9"'), folder / "sae.toml")
    found = s.peer("BOVISA")
    assert s.sae == "bank"
    assert found is not None
    assert found is s.peer("bovisa1")
    assert found.rule.policy is Policy.STRICT
    assert found.rule.modes == {Mode.QUANTUM, Mode.HYBRID, Mode.ONE_TIME}
    assert found.one_time.policy is Policy.ITS
    assert found.one_time.demand.information_theoretic
    assert not found.rule.demand.allow_simulated
    assert s.inbox == folder / "inbox"
    assert s.site is not None
    assert s.site.certificate == folder / "c.pem"


def test_a_peer_s_own_words_come_before_those_for_all(folder: Path) -> None:
    text = HEAD + 'policy = "hybrid"\nknowledge = "relayed"\n' + SITE
    text += '[one_time]\nknowledge = "direct"\n'
    text += peer("bovisa1") + peer("aria1", 'policy = "pqc-fallback"\nknowledge = "disjoint"\nmin_paths = 2')
    s = read_sae(text, folder / "sae.toml")
    bovisa, aria = s.peers[SaeId("bovisa1")], s.peers[SaeId("aria1")]
    assert (bovisa.rule.policy, bovisa.rule.demand.knowledge) == (Policy.HYBRID, Knowledge.RELAYED)
    assert bovisa.one_time.demand.knowledge is Knowledge.DIRECT
    assert (aria.rule.policy, aria.rule.demand.knowledge) == (Policy.PQC_FALLBACK, Knowledge.DISJOINT)
    assert aria.rule.demand.min_paths == aria.one_time.demand.min_paths == 2
    assert aria.one_time.demand.knowledge is Knowledge.DISJOINT


def test_an_application_without_a_site_takes_post_quantum_streams_alone(folder: Path) -> None:
    s = read_sae(HEAD + 'policy = "pqc"\n' + peer("bovisa1"), folder / "sae.toml")
    assert s.site is None
    assert s.peers[SaeId("bovisa1")].rule.modes == {Mode.PQC}


def test_a_peer_without_a_site_makes_no_other_peer_weaker(folder: Path) -> None:
    text = HEAD + SITE + peer("bovisa1") + peer("aria1", 'policy = "pqc"')
    s = read_sae(text, folder / "sae.toml")
    assert s.peers[SaeId("bovisa1")].rule.modes == {Mode.QUANTUM, Mode.HYBRID, Mode.ONE_TIME}
    assert s.peers[SaeId("aria1")].rule.modes == {Mode.PQC}


def test_tables_of_other_applications_are_handed_on(folder: Path) -> None:
    s = read_sae(
        HEAD + SITE + '[inbox]\nfolder = "in"\nmax_files = 5\n[vault]\nthreshold = 3\n', folder / "sae.toml"
    )
    assert s.inbox == folder / "in"
    assert s.extra["inbox"]["max_files"] == 5
    assert s.extra["vault"] == {"threshold": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + peer("bovisa1"), "no [site]"),
        (HEAD + 'policy = "pqc"\n' + peer("bovisa1", 'policy = "pqc-fallback"'), "no [site]"),
        (HEAD + SITE + "colour = 1\n", "colour"),
        (HEAD + "colour = 1\n" + SITE, "colour"),
        (HEAD + 'policy = "lax"\n' + SITE, "lax"),
        (HEAD + 'knowledge = "all"\n' + SITE + peer("bovisa1"), "direct, disjoint, relayed, any"),
        (HEAD + "min_paths = 0\n" + SITE + peer("bovisa1"), "min_paths"),
        (HEAD + "max_epsilon = 0\n" + SITE + peer("bovisa1"), "max_epsilon"),
        (HEAD + SITE + peer("bovisa1") + peer("bovisa1"), "once"),
        (HEAD + SITE + peer("bank"), "there already"),
        (HEAD + SITE + peer("bovisa1", 'place = "Aria"') + peer("aria1", 'place = "ARIA"'), "places apart"),
        (HEAD + SITE + peer("bovisa1", 'place = "aria1"') + peer("aria1"), "places apart"),
        (HEAD + SITE + peer("nobody"), "nobody.pub"),
        (HEAD + SITE + peer("bovisa1", 'address = "here"'), "HOST:PORT"),
        (HEAD + SITE + '[rekey]\nafter = "1 bit"\n' + peer("bovisa1"), "rekey.after"),
        (HEAD + SITE + '[rekey]\nafter = "1000 Gbit"\n' + peer("bovisa1"), "2^-64"),
        (HEAD + SITE + '[rekey]\nevery = "0 s"\n' + peer("bovisa1"), "rekey.every"),
        (HEAD + SITE + "[inbox]\nfolder = 3\n", "inbox.folder"),
        ('identity = "missing.key"\n' + SITE, "missing.key"),
        ("identity = ", "TOML"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"sae\.toml") as refused:
        read_sae(text, folder / "sae.toml")
    assert said in str(refused.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(folder: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read_sae(text, folder / "sae.toml")


def test_a_long_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "odd.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="larger than"):
        load_sae(tmp_path / "long.toml")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_sae(tmp_path / "odd.toml")


def test_which_file_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POLIQI_SAE", raising=False)
    with pytest.raises(ConfigError, match="--sae"):
        find_sae_file(None)
    (tmp_path / "sae.toml").touch()
    assert find_sae_file(None) == Path("sae.toml")
    monkeypatch.setenv("POLIQI_SAE", "/elsewhere/sae.toml")
    assert find_sae_file(None) == Path("/elsewhere/sae.toml")
    assert find_sae_file(Path("named.toml")) == Path("named.toml")
