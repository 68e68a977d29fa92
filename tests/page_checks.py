"""What any page has to satisfy, as scripts for a browser: each returns what is wrong."""

from __future__ import annotations

__all__ = ["CONTRAST", "NAMED"]

CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest("title,desc,option,.skip")) continue;
    const style = getComputedStyle(e);
    const ink = parse(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`);
  }
  return bad;
}"""

NAMED = """() => {
  const bad = [];
  for (const e of document.querySelectorAll("input:not([type=hidden]),select,textarea"))
    if (!e.labels || !e.labels.length) bad.push("no label: " + e.outerHTML);
  for (const e of document.querySelectorAll("a,button"))
    if (!(e.textContent.trim() || e.getAttribute("aria-label"))) bad.push("no name: " + e.outerHTML);
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) bad.push("no alt: " + e.outerHTML);
  for (const e of document.querySelectorAll("svg"))
    if (!e.hasAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true") bad.push("an unnamed drawing");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("twice: " + id);
  for (const e of document.querySelectorAll("th")) if (!e.scope) bad.push("th without scope");
  const levels = [...document.querySelectorAll("h1,h2,h3")].map((e) => +e.tagName[1]);
  levels.forEach((n, i) => { if (n > (levels[i - 1] ?? 0) + 1) bad.push(`h${n} after h${levels[i - 1]}`); });
  for (const one of ["main", "h1"]) if (document.querySelectorAll(one).length !== 1) bad.push(one);
  return bad;
}"""
