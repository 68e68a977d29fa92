"""The bill of cryptography against the sources (nothing used is missing) and against CycloneDX 1.6 (it is one).

The structural rules are those of the CycloneDX 1.6 specification for `cryptoProperties`, `component` and
`dependency`: names that may stand there, closed lists of values, ranges of numbers, references that must resolve.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poliqi.ops.cbom import ALGORITHMS, cryptography_bill

SOURCES = Path(__file__).resolve().parents[3] / "src" / "poliqi"
BILL = cryptography_bill()
COMPONENTS: list[dict[str, Any]] = BILL["components"]

PRIMITIVES = {
    *("drbg", "mac", "block-cipher", "stream-cipher", "signature", "hash", "pke", "xof", "kdf", "key-agree", "kem"),
    *("ae", "combiner", "other", "unknown"),
}
FUNCTIONS = {
    *("generate", "keygen", "encrypt", "decrypt", "digest", "tag", "keyderive", "sign", "verify", "encapsulate"),
    *("decapsulate", "other", "unknown"),
}
MODES = {"cbc", "ecb", "ccm", "gcm", "cfb", "ofb", "ctr", "other", "unknown"}
MATERIALS = {
    *(
        "private-key",
        "public-key",
        "secret-key",
        "key",
        "ciphertext",
        "signature",
        "digest",
        "nonce",
        "seed",
        "salt",
    ),
    *("initialization-vector", "shared-secret", "tag", "additional-data", "password", "credential", "token"),
    *("other", "unknown"),
}
ALGORITHM_MEMBERS = {
    *("primitive", "parameterSetIdentifier", "curve", "executionEnvironment", "implementationPlatform", "mode"),
    *("certificationLevel", "padding", "cryptoFunctions", "classicalSecurityLevel", "nistQuantumSecurityLevel"),
}

# What the sources take from cryptographic libraries that is no primitive: containers, encodings, errors.
NO_PRIMITIVE = {
    *(f"cryptography.{name}" for name in ("x509", "exceptions.InvalidSignature", "exceptions.InvalidTag")),
    *(f"cryptography.x509.oid.{name}" for name in ("ExtendedKeyUsageOID", "NameOID")),
    *(
        f"cryptography.hazmat.primitives.{name}"
        for name in (
            "hashes", "asymmetric.ec", "asymmetric.ed25519", "serialization.Encoding", "serialization.NoEncryption",
            "serialization.PrivateFormat", "serialization.PublicFormat", "serialization.load_pem_private_key",
        )
    ),
    "hmac.compare_digest",
}  # fmt: skip
MODULES = {"hashlib", "hmac", "secrets", "blake3"}


def uses(tree: ast.Module) -> Iterator[str]:
    """Full names of what a module takes from cryptographic libraries."""
    places: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            root = node.module.split(".")[0]
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if root in ("cryptography", "OpenSSL", "pkcs11") or root in MODULES:
                    places[alias.asname or alias.name] = full
                    yield full
                elif full in ("random.SystemRandom", "os.urandom", "os.getrandom"):
                    yield full
        elif isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                if root == "cryptography":
                    yield alias.name
                if root in MODULES:
                    places[alias.asname or root] = root
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        value = node.value
        if isinstance(value, ast.Attribute) and value.attr == "Mechanism":
            yield f"pkcs11.Mechanism.{node.attr}"
        if isinstance(value, ast.Name):
            place = places.get(value.id, "")
            if place in MODULES or (place.startswith("cryptography.hazmat.") and place.split(".")[-1].islower()):
                yield f"{place}.{node.attr}"
            elif value.id == "os" and node.attr in ("urandom", "getrandom"):
                yield f"os.{node.attr}"


def found_in_sources() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        if path.is_relative_to(SOURCES / "twin") or path.is_relative_to(SOURCES / "apps" / "testbench"):
            continue  # a simulation, candidates that are compared: what they hash and draw protects nothing
        for name in uses(ast.parse(path.read_text())):
            found.setdefault(name, []).append(str(path.relative_to(SOURCES)))
    return found


def test_every_primitive_of_the_sources_is_in_the_bill() -> None:
    listed = {call for a in ALGORITHMS for call in a.calls} | NO_PRIMITIVE
    missing = {name: places for name, places in found_in_sources().items() if name not in listed}
    assert not missing, "add these to poliqi.ops.cbom.ALGORITHMS"


def test_nothing_is_in_the_bill_that_the_sources_do_not_use() -> None:
    found = found_in_sources()
    assert not {call for a in ALGORITHMS for call in a.calls if call not in found}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import hashlib\nhashlib.md5(b'')", "hashlib.md5"),
        ("from hashlib import sha1", "hashlib.sha1"),
        ("from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305",
         "cryptography.hazmat.primitives.ciphers.aead.ChaCha20Poly1305"),
        ("from cryptography.hazmat.primitives import hashes\nhashes.SHA1()",
         "cryptography.hazmat.primitives.hashes.SHA1"),
        ("from cryptography.hazmat.primitives.asymmetric import ec\nec.SECP256R1()",
         "cryptography.hazmat.primitives.asymmetric.ec.SECP256R1"),
        ("import os\nos.getrandom(1)", "os.getrandom"),
        ("p.Mechanism.DES3_CBC", "pkcs11.Mechanism.DES3_CBC"),
    ],
)  # fmt: skip
def test_a_new_primitive_would_be_noticed(source: str, name: str) -> None:
    listed = {call for a in ALGORITHMS for call in a.calls} | NO_PRIMITIVE
    assert name in set(uses(ast.parse(source))) - listed


def test_every_place_that_is_named_exists() -> None:
    missing = [
        (a.ref, m) for a in ALGORITHMS for m in a.where if not (SOURCES / f"{m.replace('.', '/')}.py").exists()
    ]
    assert not missing


def test_the_frame_is_that_of_cyclonedx_1_6() -> None:
    assert (BILL["bomFormat"], BILL["specVersion"], BILL["version"]) == ("CycloneDX", "1.6", 1)
    assert set(BILL) <= {
        "bomFormat",
        "specVersion",
        "serialNumber",
        "version",
        "metadata",
        "components",
        "dependencies",
    }
    assert {c["type"] for c in COMPONENTS} == {"cryptographic-asset"}
    assert all(
        set(c) <= {"type", "bom-ref", "name", "description", "cryptoProperties", "evidence", "properties"}
        for c in COMPONENTS
    )
    assert json.loads(json.dumps(BILL)) == BILL


def test_references_are_unique_and_resolve() -> None:
    refs = [c["bom-ref"] for c in COMPONENTS]
    assert len(set(refs)) == len(refs)
    pointed: set[str] = set()
    for row in BILL["dependencies"]:
        assert set(row) == {"ref", "dependsOn"}
        pointed |= {row["ref"], *row["dependsOn"]}
    for c in COMPONENTS:
        crypto = c["cryptoProperties"]
        pointed |= set(crypto.get("protocolProperties", {}).get("cryptoRefArray", ()))
        pointed |= (
            {crypto["relatedCryptoMaterialProperties"]["algorithmRef"]}
            if _is(c, "related-crypto-material")
            else set()
        )
        for suite in crypto.get("protocolProperties", {}).get("cipherSuites", ()):
            pointed |= set(suite["algorithms"])
    assert pointed <= {*refs, "poliqi"}


def _is(component: dict[str, Any], kind: str) -> bool:
    return bool(component["cryptoProperties"]["assetType"] == kind)


def test_algorithms_say_what_the_format_allows() -> None:
    for c in filter(lambda c: _is(c, "algorithm"), COMPONENTS):
        assert set(c["cryptoProperties"]) <= {"assetType", "algorithmProperties", "oid"}
        said = c["cryptoProperties"]["algorithmProperties"]
        assert set(said) <= ALGORITHM_MEMBERS, c["name"]
        assert said["primitive"] in PRIMITIVES
        assert said["cryptoFunctions"]
        assert set(said["cryptoFunctions"]) <= FUNCTIONS
        assert said.get("mode", "gcm") in MODES
        assert said["executionEnvironment"] == "software-plain-ram"
        assert said["certificationLevel"] == ["none"]
        assert 0 <= said.get("nistQuantumSecurityLevel", 0) <= 6
        assert said.get("classicalSecurityLevel", 1) > 0


def test_protocols_and_material_say_what_the_format_allows() -> None:
    for c in COMPONENTS:
        crypto = c["cryptoProperties"]
        if _is(c, "protocol"):
            assert set(crypto["protocolProperties"]) <= {"type", "version", "cipherSuites", "cryptoRefArray"}
            assert crypto["protocolProperties"]["type"] == "tls"
        elif _is(c, "related-crypto-material"):
            said = crypto["relatedCryptoMaterialProperties"]
            assert set(said) <= {"type", "state", "algorithmRef", "size"}
            assert said["type"] in MATERIALS
            assert "value" not in said
        else:
            assert _is(c, "algorithm")


def level(ref: str) -> int | None:
    [found] = [c for c in COMPONENTS if c["bom-ref"] == ref]
    got: int | None = found["cryptoProperties"]["algorithmProperties"].get("nistQuantumSecurityLevel")
    return got


@pytest.mark.parametrize(
    ("ref", "category"),
    [("ml-kem-768", 3), ("ml-kem-1024", 5), ("ml-dsa-65", 3), ("aes-256-gcm", 5), ("sha-256", 2), ("sha-384", 4),
     ("ecdsa-p384", 0), ("x25519", 0), ("ed25519", 0)],
)  # fmt: skip
def test_categories_are_nists(ref: str, category: int) -> None:
    """FIPS 203 table 2, FIPS 204 table 1, and the definition of categories 1 to 5 by AES and SHA-2."""
    assert level(ref) == category


def test_what_is_information_theoretic_is_said_and_has_no_category() -> None:
    its = {
        c["bom-ref"]
        for c in COMPONENTS
        if {"name": "poliqi:security", "value": "information-theoretic"} in c.get("properties", [])
    }
    assert its == {"otp", "poly1305", "polyval", "verify", "toeplitz", "shamir"}
    assert all(level(ref) is None for ref in its)
