"""How a map looks and what it says: colours by CSS variables for light and dark, words in English and Italian."""

from __future__ import annotations

from typing import Final

from poliqi.control.events import Language

__all__ = ["MAP_CSS", "WORDS"]

MAP_CSS: Final = """\
.city-map{--map-ink:#1c2430;--map-soft:#5b6675;--map-fibre:#c3cad4;--map-paper:#ffffff;--map-lit:#0b7a55;
--map-keyless:#a35a00;--map-dark:#c0182b;--map-silent:#6b7280;--map-plan:#1b5fa8;--map-weak:#a35a00;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color:var(--map-ink)}
@media (prefers-color-scheme:dark){.city-map{--map-ink:#e8edf4;--map-soft:#a2adbb;--map-fibre:#46505e;
--map-paper:#12161c;--map-lit:#3ecf9a;--map-keyless:#f0a84a;--map-dark:#ff6b78;--map-silent:#98a2b0;
--map-plan:#6bb0f5;--map-weak:#f0a84a}}
:root[data-theme=light] .city-map{--map-ink:#1c2430;--map-soft:#5b6675;--map-fibre:#c3cad4;--map-paper:#ffffff;
--map-lit:#0b7a55;--map-keyless:#a35a00;--map-dark:#c0182b;--map-silent:#6b7280;--map-plan:#1b5fa8;--map-weak:#a35a00}
:root[data-theme=dark] .city-map{--map-ink:#e8edf4;--map-soft:#a2adbb;--map-fibre:#46505e;--map-paper:#12161c;
--map-lit:#3ecf9a;--map-keyless:#f0a84a;--map-dark:#ff6b78;--map-silent:#98a2b0;--map-plan:#6bb0f5;--map-weak:#f0a84a}
.city-map text{fill:var(--map-ink);font-size:13px;dominant-baseline:central;text-anchor:middle}
.city-map .name{font-size:15px;font-weight:600}
.city-map .soft,.city-map .figure{fill:var(--map-soft);font-size:12px}
.city-map .note{text-anchor:end}.city-map .key{text-anchor:start}
.city-map .figure{font-variant-numeric:tabular-nums}
.city-map .paper{fill:var(--map-paper)}
.city-map .fibre{stroke:var(--map-fibre);stroke-width:9;fill:none;stroke-linecap:round}
.city-map .candidate .fibre{stroke-dasharray:1 12}
.city-map .light{stroke:var(--map-plan);stroke-width:3;fill:none;stroke-linecap:round;stroke-linejoin:round}
.city-map .bypass .light{stroke-dasharray:9 6}
.city-map .state-lit .light{stroke:var(--map-lit)}
.city-map .state-keyless .light{stroke:var(--map-keyless);stroke-dasharray:3 6}
.city-map .state-dark .light{stroke:var(--map-dark);stroke-dasharray:2 7}
.city-map .state-silent .light{stroke:var(--map-silent);stroke-dasharray:1 6}
.city-map .state-weak .light{stroke:var(--map-weak)}
.city-map .state-new .light{stroke:var(--map-lit)}
.city-map .load-0 .light{stroke-width:2}.city-map .load-1 .light{stroke-width:3}
.city-map .load-2 .light{stroke-width:4.5}.city-map .load-3 .light{stroke-width:6}
.city-map .cut{display:none}
.city-map .state-dark .cut{display:inline}
.city-map .cut circle{fill:var(--map-paper);stroke:var(--map-dark);stroke-width:2}
.city-map .cut path{stroke:var(--map-dark);stroke-width:2.5;stroke-linecap:round}
.city-map .state-dark .figure{fill:var(--map-dark);font-weight:600}
.city-map .state-keyless .figure,.city-map .state-weak .figure{fill:var(--map-weak);font-weight:600}
.city-map .grain{fill:var(--map-ink)}
.city-map .dot{fill:var(--map-ink);stroke:var(--map-paper);stroke-width:2}
.city-map .dot.end-only{fill:var(--map-paper);stroke:var(--map-ink);stroke-width:3}
.city-map .switch{fill:none;stroke:var(--map-soft);stroke-width:1.5}
.city-map .site-down .dot{fill:var(--map-dark)}
.city-map .site-draining .dot{fill:var(--map-keyless)}
.city-map .site-down .name{fill:var(--map-dark)}
.city-map .thin{stroke:var(--map-soft);stroke-width:1.2;fill:none}
.city-map .rim{stroke:var(--map-soft);stroke-width:1.2;stroke-dasharray:4 4;fill:none}
.city-map a{outline-offset:4px;text-decoration:none}
.city-map a:hover .light,.city-map a:focus-visible .light{stroke-width:6}
.city-map a:hover .name,.city-map a:focus-visible .name{text-decoration:underline}
"""

WORDS: Final[dict[Language, dict[str, str]]] = {
    Language.ENGLISH: {
        "map": "Map of {city}",
        "sum": "{sites} sites, {spans} fibres, {links} quantum links. {notes}",
        "north": "N",
        "circle": "{km} km",
        "relay": "trusted node",
        "end-only": "end site only",
        "switch": "optical switch",
        "fibre": "fibre {span}: {km} km, {db} dB",
        "link": "link {link}, {a} to {b}, {db} dB",
        "bypass": "passes {sites} as light",
        "approximate": "site coordinates approximate",
        "invented": "fibre lengths and losses invented",
        "simulated": "SIMULATED light: keys protect nothing",
        "lit": "makes key",
        "keyless": "light, but no key",
        "dark": "no light",
        "silent": "no news",
        "weak": "its cut leaves a demand short",
        "new": "proposed",
        "plan": "planned link",
        "candidate": "fibre that could be had",
        "passing": "light that passes a site",
        "up": "reports",
        "down": "does not report",
        "draining": "being drained",
    },
    Language.ITALIAN: {
        "map": "Mappa di {city}",
        "sum": "{sites} sedi, {spans} fibre, {links} collegamenti quantistici. {notes}",
        "north": "N",
        "circle": "{km} km",
        "relay": "nodo fidato",
        "end-only": "solo sede terminale",
        "switch": "commutatore ottico",
        "fibre": "fibra {span}: {km} km, {db} dB",
        "link": "collegamento {link}, da {a} a {b}, {db} dB",
        "bypass": "attraversa {sites} come luce",
        "approximate": "coordinate delle sedi approssimate",
        "invented": "lunghezze e perdite delle fibre inventate",
        "simulated": "luce SIMULATA: le chiavi non proteggono nulla",
        "lit": "produce chiave",
        "keyless": "luce, ma nessuna chiave",
        "dark": "nessuna luce",
        "silent": "nessuna notizia",
        "weak": "il suo taglio lascia scoperta una richiesta",
        "new": "proposto",
        "plan": "collegamento previsto",
        "candidate": "fibra disponibile",
        "passing": "luce che attraversa una sede",
        "up": "comunica",
        "down": "non comunica",
        "draining": "in svuotamento",
    },
}
