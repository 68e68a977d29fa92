"""Words of a crate that several parts use, and those that RO-Crate has no word for."""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "DEFINITIONS",
    "EXTRA_TERMS",
    "NO_LICENCE",
    "ONWARD",
    "RECEIPTS",
    "RECEIPT_TYPE",
    "SIMULATED",
    "SOFTWARE",
    "TOLD_RECEIPT",
    "entity",
    "ref",
    "refs",
    "term",
]

_TERMS: Final = "https://w3id.org/ro/terms/poliqi#"
RECEIPT_TYPE: Final = "application/vnd.poliqi.receipt"
"""Media type of a signed receipt (docs/spec/transfer.md)."""
RECEIPTS: Final = "receipts"
"""The folder of a crate in which receipts stand."""
TOLD_RECEIPT: Final = "receipt-told-"
"""How the names of receipts begin that another's crate brought: nobody here has verified them."""
NO_LICENCE: Final = "No licence: nobody but the owner may use it."
SIMULATED: Final = "simulated"
"""Name of the property that says that a calculation stands in place of an instrument."""
ONWARD: Final = "#onward"
"""The action that asks whoever receives a crate to send it on."""
SOFTWARE: Final = "#poliqi"


def term(word: str) -> str:
    """The URI of a word of one's own."""
    return _TERMS + word


EXTRA_TERMS: Final[dict[str, str]] = {"blake3": term("blake3")}
"""What is added to the context: RO-Crate 1.1 knows no hash of a file."""

DEFINITIONS: Final[tuple[dict[str, Any], ...]] = (
    {
        "@id": term("blake3"),
        "@type": "rdf:Property",
        "rdfs:label": "blake3",
        "rdfs:comment": "BLAKE3 (256 bits) of a file's content in lower-case hexadecimals, as b3sum prints it",
    },
)


def entity(identifier: str, kind: str | list[str], /, **properties: Any) -> dict[str, Any]:
    """An entity; what is empty is left out."""
    kept = {key: value for key, value in properties.items() if value not in ("", None, [], ())}
    return {"@id": identifier, "@type": kind, **kept}


def ref(name: str) -> dict[str, str]:
    """A reference."""
    return {"@id": name}


def refs(names: list[str]) -> Any:
    """References: one alone stands without a list, as compacted JSON-LD has it."""
    return ref(names[0]) if len(names) == 1 else [ref(name) for name in names]
