"use strict";
// Pages are whole without this. It keeps them up to date and filters tables while one types.
(() => {
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    if (old.hasAttribute("data-own")) return; // another script's
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && name !== "open" && name !== "hidden") old.removeAttribute(name);
    children(old, fresh);
  };
  const children = (old, fresh) => {
    const now = [...old.childNodes], next = [...fresh.childNodes];
    next.forEach((node, i) => (now[i] ? morph(now[i], node) : old.append(node)));
    now.slice(next.length).forEach((node) => node.remove());
  };
  const show = (element, html) => {
    const box = document.createElement("template");
    box.innerHTML = html;
    children(element, box.content);
  };

  const filter = () => {
    const search = document.querySelector("input[type=search]");
    const words = search ? search.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
    for (const row of document.querySelectorAll("table[data-search] tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };
  addEventListener("input", filter);

  const main = document.querySelector("[data-stream]");
  if (!main || !window.EventSource) return;
  const lost = document.getElementById("lost");
  let stream, idle;
  const connect = () => {
    if (stream && stream.readyState !== EventSource.CLOSED) return;
    stream = new EventSource(main.dataset.stream);
    stream.onopen = () => { lost.hidden = true; };
    stream.onerror = () => {
      lost.hidden = false;
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
    };
    stream.onmessage = (event) => {
      for (const [id, html] of Object.entries(JSON.parse(event.data))) {
        if (id === "title") document.title = html;
        else { const place = document.getElementById(id); if (place) show(place, html); }
      }
      filter();
    };
  };
  connect();
  // A browser allows six connections to one address: tabs that nobody looks at give theirs back after a minute.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(idle);
    if (!document.hidden) connect();
    else idle = setTimeout(() => { stream.close(); document.title = "\u23f8 " + document.title; }, 60000);
  });
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
})();
