"""An order of the administration as a PDF with a PAdES signature, made and checked with pyHanko.

    python signed_document.py people FOLDER                     a test authority, and a clerk with a certificate
    python signed_document.py make FOLDER "text" OUT.pdf        a page with a text, signed by the clerk
    python signed_document.py check FOLDER/authority.pem FILE   who signed it; exit code 1 where that is not so

Needs: pip install pyhanko. The authority is one for trying out: real signatures come from a qualified one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pyhanko.keys import load_cert_from_pemder
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

FIELD = "Signature"


def make_people(folder: Path) -> None:
    """authority.pem, clerk.pem and clerk.key in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    authority, clerk = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above, below = _name("Test authority"), _name("Anna Bianchi")
    made = [
        ("authority.pem", _certificate(above, above, authority, authority, now, is_authority=True)),
        ("clerk.pem", _certificate(below, above, clerk, authority, now, is_authority=False)),
    ]
    for name, certificate in made:
        (folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key = clerk.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "clerk.key"
    path.touch(mode=0o600)
    path.write_bytes(key)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    own: ec.EllipticCurvePrivateKey,
    signing: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    is_authority: bool,
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=not is_authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True
        )
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )


def make(folder: Path, text: str) -> bytes:
    """A PDF of one page with `text`, signed by the clerk (PAdES, ETSI EN 319 142-1, baseline B)."""
    signer = signers.SimpleSigner.load(
        str(folder / "clerk.key"), str(folder / "clerk.pem"), ca_chain_files=(str(folder / "authority.pem"),)
    )
    if signer is None:
        raise ValueError(f"{folder}: the clerk's key and certificate cannot be read")
    writer = IncrementalPdfFileWriter(BytesIO(_page(text)))
    meta = signers.PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        reason="Order of the administration",
    )
    return signers.sign_pdf(writer, meta, signer=signer).getvalue()


def _page(text: str) -> bytes:
    writer = PdfFileWriter()
    line = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    content = generic.StreamObject(
        stream_data=f"BT /F1 14 Tf 72 760 Td ({line}) Tj ET".encode("latin-1", "replace")
    )
    face = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = generic.DictionaryObject({pdf_name(k): pdf_name(v) for k, v in face.items()})
    fonts = generic.DictionaryObject({pdf_name("/F1"): writer.add_object(font)})
    resources = generic.DictionaryObject({pdf_name("/Font"): fonts})
    size = generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842)))
    writer.insert_page(PageObject(contents=writer.add_object(content), media_box=size, resources=resources))
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def check(authority: Path, data: bytes) -> str:
    """The signer's name. Raises ValueError where the file is not, unchanged, as somebody known signed it."""
    try:
        signatures = PdfFileReader(BytesIO(data)).embedded_signatures
        context = ValidationContext(trust_roots=[load_cert_from_pemder(str(authority))], allow_fetching=False)
        found = [validate_pdf_signature(each, context) for each in signatures]
    except Exception as error:  # a file from outside: the parser raises what it likes
        raise ValueError(f"it cannot be read: {error}") from error
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} signatures, and should have one")
    status = found[0]
    if not status.bottom_line:
        raise ValueError(f"its signature is not valid: {status.summary()}")
    return str(status.signing_cert.subject.native["common_name"])


def main(words: list[str]) -> int:
    match words:
        case ["people", folder]:
            make_people(Path(folder))
        case ["make", folder, text, path]:
            Path(path).write_bytes(make(Path(folder), text))
        case ["check", authority, path]:
            try:
                print(f"{path}: signed by {check(Path(authority), Path(path).read_bytes())}")
            except ValueError as error:
                print(f"{path}: {error}", file=sys.stderr)
                return 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
