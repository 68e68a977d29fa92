"""The cryptography that POLIQI really uses, as a CycloneDX 1.6 bill of materials.

Every primitive that the sources import is named in one row's `calls`; a test reads the sources and fails where one
is not. `nistQuantumSecurityLevel` is NIST's category of strength against quantum computers (0: it meets none); it
is left out of what is information-theoretic, because no computer enters into that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

__all__ = ["ALGORITHMS", "Algorithm", "cryptography_bill"]

_AEAD: Final = "cryptography.hazmat.primitives.ciphers.aead"
_ASYMMETRIC: Final = "cryptography.hazmat.primitives.asymmetric"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm: what it is, how strong, what for, where, and by which calls of which library.

    `category` is NIST's (0 to 5), None where the strength is information-theoretic. `bits` is the classical
    strength where one can be given.
    """

    ref: str
    name: str
    primitive: str
    functions: tuple[str, ...]
    category: int | None
    bits: int | None
    use: str
    where: tuple[str, ...]
    calls: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict[str, str])


ALGORITHMS: Final = (
    Algorithm(
        "otp", "one-time pad", "stream-cipher", ("encrypt", "decrypt"), None, None,
        "hides what trusted relays carry and what is shipped between sites, streams of mode one-time-pad, "
        "messages, shares of a vault, keys of datasets; every pad bit is used once",
        ("keys.onetime", "keys.relay", "keys.shipments", "apps.stream.padded", "apps.envelope.call"),
    ),
    Algorithm(
        "poly1305", "Poly1305, one-time key", "mac", ("tag", "verify"), None, None,
        "compares stored segments, authenticates relayed keys and records under one-time pad, with 32 fresh key "
        "bytes for each tag; a forgery passes with at most 8 ceil(L/16) / 2^106",
        ("keys.segment", "keys.onetime", "keys.relay_parity", "apps.stream.padded"),
        ("cryptography.hazmat.primitives.poly1305.Poly1305",),
    ),
    Algorithm(
        "polyval", "POLYVAL, Wegman-Carter", "mac", ("tag", "verify"), None, None,
        "authenticates distillation and shares of a vault by a polynomial hash over GF(2^128) under one-time pads",
        ("distill.authenticate", "distill.kernels.polyval", "apps.vault.polyhash"),
    ),
    Algorithm(
        "verify", "polynomial verification hash", "hash", ("digest",), None, None,
        "shows that both corrected strings are equal, at a fresh random point of GF(2^128)",
        ("distill.verify",),
    ),
    Algorithm(
        "toeplitz", "Toeplitz privacy amplification", "other", ("keyderive",), None, None,
        "makes the corrected key secret: dual universal hashing by a modified Toeplitz matrix",
        ("distill.amplify", "distill.kernels.toeplitz"),
    ),
    Algorithm(
        "shamir", "secret sharing", "other", ("other",), None, None,
        "splits a relayed key over disjoint paths: all of n by exclusive or, k of n by Shamir over GF(2^8); splits "
        "what a vault keeps over sites",
        ("keys.shares", "keys.relay_gather", "apps.vault.sharing"),
    ),
    Algorithm(
        "aes-256-gcm", "AES-256-GCM", "ae", ("encrypt", "decrypt", "tag"), 5, 256,
        "seals segments and keys at rest, in software or in a PKCS#11 token; protects records of TLS and of "
        "streams, datasets, what an application keeps",
        (
            "edge.sealing", "edge.kek", "edge.kektoken", "edge.pqtls", "apps.stream.records", "apps.atrest",
            "apps.datasets.container", "apps.envelope.lockbox",
        ),
        (f"{_AEAD}.AESGCM", "pkcs11.Mechanism.AES_GCM"),
        {"parameterSetIdentifier": "256", "mode": "gcm", "oid": "2.16.840.1.101.3.4.1.46"},
    ),
    Algorithm(
        "aes-256-kw", "AES-256 key wrap", "block-cipher", ("encrypt", "decrypt"), 5, 256,
        "wraps epoch keys in a PKCS#11 token that offers no GCM (RFC 3394)",
        ("edge.kektoken",), ("pkcs11.Mechanism.AES_KEY_WRAP",),
        {"parameterSetIdentifier": "256", "mode": "other", "oid": "2.16.840.1.101.3.4.1.45"},
    ),
    Algorithm(
        "ml-kem-1024", "ML-KEM-1024", "kem", ("keygen", "encapsulate", "decapsulate"), 5, 256,
        "the post-quantum secret of a pool, for hybrid keys (FIPS 203)",
        ("keys.kem",), (f"{_ASYMMETRIC}.mlkem.MLKEM1024PrivateKey", f"{_ASYMMETRIC}.mlkem.MLKEM1024PublicKey"),
        {"parameterSetIdentifier": "1024", "oid": "2.16.840.1.101.3.4.4.3"},
    ),
    Algorithm(
        "ml-kem-768", "ML-KEM-768", "kem", ("keygen", "encapsulate", "decapsulate"), 3, 192,
        "post-quantum half of the key exchange between sites, and of streams in modes hybrid and pqc (FIPS 203)",
        ("edge.pqtls", "apps.stream.noise"),
        (f"{_ASYMMETRIC}.mlkem.MLKEM768PrivateKey", f"{_ASYMMETRIC}.mlkem.MLKEM768PublicKey"),
        {"parameterSetIdentifier": "768", "oid": "2.16.840.1.101.3.4.4.2"},
    ),
    Algorithm(
        "x25519", "X25519", "key-agree", ("keygen", "keyderive"), 0, 128,
        "classical half of the key exchange between sites and of streams; the guard of a call (RFC 7748)",
        ("edge.pqtls", "apps.identity", "apps.stream.noise", "apps.stream.opening"),
        (f"{_ASYMMETRIC}.x25519.X25519PrivateKey", f"{_ASYMMETRIC}.x25519.X25519PublicKey"),
        {"curve": "other/Curve25519", "oid": "1.3.101.110"},
    ),
    Algorithm(
        "x25519mlkem768", "X25519MLKEM768", "combiner", ("keygen", "encapsulate", "decapsulate"), 3, 192,
        "the only key exchange between sites; safe while either half is",
        ("edge.pqtls",), ("OpenSSL.SSL", "OpenSSL.crypto", "OpenSSL._util.lib"),
    ),
    Algorithm(
        "ml-dsa-65", "ML-DSA-65", "signature", ("keygen", "sign", "verify"), 3, 192,
        "authenticates the first block of a link that was paired by public keys, streams of mode pqc, receipts "
        "(FIPS 204)",
        ("distill.bootstrap", "edge.pairing", "apps.identity"),
        (f"{_ASYMMETRIC}.mldsa.MLDSA65PrivateKey", f"{_ASYMMETRIC}.mldsa.MLDSA65PublicKey"),
        {"parameterSetIdentifier": "65", "oid": "2.16.840.1.101.3.4.3.18"},
    ),
    Algorithm(
        "ecdsa-p384", "ECDSA P-384 with SHA-384", "signature", ("keygen", "sign", "verify"), 0, 192,
        "certificates of sites and applications, and the revocation lists: a quantum computer would forge them, "
        "but not read afterwards what was exchanged before",
        ("edge.certprofile", "edge.pki", "edge.credentials"),
        (
            f"{_ASYMMETRIC}.ec.SECP384R1", f"{_ASYMMETRIC}.ec.generate_private_key",
            f"{_ASYMMETRIC}.ec.EllipticCurvePrivateKey", f"{_ASYMMETRIC}.ec.EllipticCurvePublicKey",
        ),
        {"curve": "nist/P-384", "oid": "1.2.840.10045.4.3.3"},
    ),
    Algorithm(
        "ed25519", "Ed25519", "signature", ("sign", "verify"), 0, 128,
        "taken in certificates that another authority issued; never made here",
        ("edge.credentials",), (f"{_ASYMMETRIC}.ed25519.Ed25519PrivateKey",),
        {"curve": "other/Ed25519", "oid": "1.3.101.112"},
    ),
    Algorithm(
        "hkdf-sha384", "HKDF-SHA384", "kdf", ("keyderive",), 4, 192,
        "combines a quantum key with a post-quantum secret; schedule of the post-quantum secret (RFC 5869)",
        ("keys.combine", "keys.kem"),
    ),
    Algorithm(
        "noise-kkpsk0", "Noise KKpsk0, with a KEM (hfs)", "combiner", ("keygen", "keyderive"), 5, 256,
        "handshake of streams: static and fresh X25519, the quantum key, in hybrid ML-KEM-768 (Noise, revision 34)",
        ("apps.stream.noise", "apps.stream.symmetric"), ("hashlib.new",),
    ),
    Algorithm(
        "hkdf-sha512", "HKDF-SHA512", "kdf", ("keyderive",), 5, 256,
        "keys of a stream's directions, from one quantum key to the next; guard of a call (RFC 5869)",
        ("apps.stream.schedule", "apps.stream.opening"),
        ("cryptography.hazmat.primitives.kdf.hkdf.HKDF", "cryptography.hazmat.primitives.hashes.SHA512"),
    ),
    Algorithm(
        "hkdf-sha256", "HKDF-SHA256", "kdf", ("keyderive",), 2, 256,
        "a key of its own for each value that an application seals on its disk (RFC 5869)",
        ("apps.atrest",),
    ),
    Algorithm(
        "blake3", "BLAKE3", "hash", ("digest",), 2, 128,
        "content of files that are sent; the list of them is under SHA-256",
        ("apps.share.content",), ("blake3.blake3",),
    ),
    Algorithm(
        "hmac-sha256", "HMAC-SHA256", "mac", ("tag",), 2, 256,
        "derives key_IDs from places, names small segments, signs alarms to webhooks, ties forms of the dashboard "
        "to people (FIPS 198-1)",
        ("keys.keyid", "keys.segment", "edge.webhook", "ops.web.people"), (
            "hmac.digest", "hmac.new", "cryptography.hazmat.primitives.hmac",
            "cryptography.hazmat.primitives.hmac.HMAC",
        ), {"oid": "1.2.840.113549.2.9"},
    ),
    Algorithm(
        "hmac-sha384", "HMAC-SHA384", "mac", ("tag", "verify"), 4, 384,
        "confirms the post-quantum secret of a pool",
        ("keys.kem", "keys.combine"), (), {"oid": "1.2.840.113549.2.10"},
    ),
    Algorithm(
        "sha-256", "SHA-256", "hash", ("digest",), 2, 128,
        "audit chain, fingerprints, checksums of files (FIPS 180-4)",
        ("edge.audit", "edge.credentials", "edge.identity", "edge.pairfile"),
        ("hashlib.sha256", "hashlib.file_digest", "cryptography.hazmat.primitives.hashes.SHA256"),
        {"parameterSetIdentifier": "256", "oid": "2.16.840.1.101.3.4.2.1"},
    ),
    Algorithm(
        "sha-384", "SHA-384", "hash", ("digest",), 4, 192,
        "transcripts, signatures of certificates (FIPS 180-4)",
        ("distill.bootstrap", "keys.kem", "keys.combine", "edge.certprofile"),
        ("hashlib.sha384", "cryptography.hazmat.primitives.hashes.SHA384"),
        {"parameterSetIdentifier": "384", "oid": "2.16.840.1.101.3.4.2.2"},
    ),
    Algorithm(
        "pbes2", "PBES2 (PBKDF2, AES-256-CBC)", "kdf", ("keyderive", "encrypt", "decrypt"), 0, None,
        "puts an authority's private key under a passphrase; no stronger than the passphrase (RFC 8018)",
        ("edge.certprofile",), ("cryptography.hazmat.primitives.serialization.BestAvailableEncryption",),
        {"oid": "1.2.840.113549.1.5.13"},
    ),
    Algorithm(
        "os-random", "the operating system's generator", "drbg", ("generate",), 5, 256,
        "seeds, pads and keys that are made here; expanded by ChaCha20, so what rests on it is computational",
        ("edge.entropy", "edge.kek", "edge.kektoken", "node.control", "ops.web.people", "ops.web.settings"),
        (
            "os.urandom", "random.SystemRandom", "secrets.randbits", "secrets.token_hex", "secrets.token_bytes",
            "secrets.token_urlsafe",
        ),
    ),
)  # fmt: skip

_TLS: Final = (
    (
        "tls-peers", "TLS 1.3 between sites", "1.3",
        "mutual certificates, no resumption, no other group, version or cipher",
        ("x25519mlkem768", "aes-256-gcm", "sha-384", "ecdsa-p384"),
        [("TLS_AES_256_GCM_SHA384", ("0x13", "0x02"), ("aes-256-gcm", "sha-384"))],
    ),
    (
        "tls-applications", "TLS 1.3 between a site and its applications", "1.3",
        "mutual certificates, no resumption; the group is the caller's choice, mostly classical; 1.2 if configured",
        ("aes-256-gcm", "sha-384", "ecdsa-p384"),
        [("TLS_AES_256_GCM_SHA384", ("0x13", "0x02"), ("aes-256-gcm", "sha-384"))],
    ),
)  # fmt: skip

_MATERIAL: Final = (
    ("qkd-key", "quantum key", "secret-key", "aes-256-gcm", "key made on a link, at rest in segments", None),
    ("pad", "one-time pads", "secret-key", "otp", "used once, marked used before a byte leaves", None),
    ("dek", "segment keys (DEK)", "secret-key", "aes-256-gcm", "one for every segment, one message each", 256),
    ("kek", "key-encryption keys (KEK)", "secret-key", "aes-256-gcm", "in a file or a PKCS#11 token", 256),
    ("pool-secret", "pool secret", "shared-secret", "hmac-sha256", "names keys, enters the hybrid's tags", 256),
    ("kem-seed", "ML-KEM seed", "seed", "ml-kem-1024", "in memory for one epoch", 512),
    ("identity-seed", "pairing identity", "private-key", "ml-dsa-65", "in the state of a link", 256),
    ("authority-key", "authority's key", "private-key", "ecdsa-p384", "under a passphrase if one was given", 384),
    ("leaf-key", "keys of KME and applications", "private-key", "ecdsa-p384", "in files of mode 0600", 384),
)  # fmt: skip


def cryptography_bill() -> dict[str, Any]:
    """The bill as CycloneDX 1.6 JSON; the same for the same version of POLIQI."""
    product = {
        "type": "application",
        "bom-ref": "poliqi",
        "name": "poliqi",
        "version": version("poliqi"),
    }
    protocols = [_protocol(*row) for row in _TLS]
    materials = [_material(*row) for row in _MATERIAL]
    components = [*(_algorithm(a) for a in ALGORITHMS), *protocols, *materials]
    dependencies: list[dict[str, Any]] = [{"ref": "poliqi", "dependsOn": [c["bom-ref"] for c in components]}]
    dependencies += [{"ref": ref, "dependsOn": list(needs)} for ref, _, _, _, needs, _ in _TLS]
    dependencies.append({"ref": "x25519mlkem768", "dependsOn": ["x25519", "ml-kem-768"]})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": components,
        "dependencies": dependencies,
    }


def _component(ref: str, name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "cryptographic-asset",
        "bom-ref": ref,
        "name": name,
        "description": description,
        "cryptoProperties": properties,
    }


def _algorithm(a: Algorithm) -> dict[str, Any]:
    properties: dict[str, Any] = {"primitive": a.primitive, "executionEnvironment": "software-plain-ram"}
    properties |= {name: value for name, value in a.extra.items() if name != "oid"}
    properties |= {"certificationLevel": ["none"], "cryptoFunctions": list(a.functions)}
    if a.bits is not None:
        properties["classicalSecurityLevel"] = a.bits
    if a.category is not None:
        properties["nistQuantumSecurityLevel"] = a.category
    crypto: dict[str, Any] = {"assetType": "algorithm", "algorithmProperties": properties}
    if "oid" in a.extra:
        crypto["oid"] = a.extra["oid"]
    strength = "information-theoretic" if a.category is None else "computational"
    return _component(a.ref, a.name, a.use, crypto) | {
        "evidence": {"occurrences": [{"location": f"src/poliqi/{m.replace('.', '/')}.py"} for m in a.where]},
        "properties": [{"name": "poliqi:security", "value": strength}],
    }


def _protocol(
    ref: str,
    name: str,
    number: str,
    note: str,
    needs: tuple[str, ...],
    suites: list[tuple[str, tuple[str, str], tuple[str, ...]]],
) -> dict[str, Any]:
    listed = [{"name": n, "identifiers": list(i), "algorithms": list(a)} for n, i, a in suites]
    properties = {"type": "tls", "version": number, "cipherSuites": listed, "cryptoRefArray": list(needs)}
    return _component(ref, name, note, {"assetType": "protocol", "protocolProperties": properties})


def _material(ref: str, name: str, kind: str, algorithm: str, note: str, size: int | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": kind, "state": "active", "algorithmRef": algorithm}
    if size is not None:
        properties["size"] = size
    crypto = {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": properties}
    return _component(ref, name, note, crypto)
