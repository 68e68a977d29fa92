"use strict";
// The form sends small files without this. It takes dropped files, says at once what they need, and sends in parts.
(() => {
  const form = document.getElementById("send");
  if (!form) return;
  const of = (id) => document.getElementById(id);
  const [files, drop, chosen, estimate, problem] = ["files", "drop", "chosen", "estimate", "problem"].map(of);
  document.documentElement.classList.add("has-script");
  const language = document.documentElement.lang;
  const size = (count) => {
    const step = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
    const digits = { maximumFractionDigits: step ? 1 : 0 };
    return new Intl.NumberFormat(language, digits).format(count / 1000 ** step) + "\u00a0" + ["B", "kB", "MB", "GB", "TB"][step];
  };
  const total = () => [...files.files].reduce((sum, file) => sum + file.size, 0);
  const field = (name) => new FormData(form).get(name) || "";
  const complain = (text, detail = "") => {
    of("wrong").textContent = text;
    of("wrong-detail").textContent = detail;
    problem.hidden = !text;
  };
  const ask = async (method, path, body, kind = "application/json") => {
    const answer = await fetch(path, { method, body, headers: { "Content-Type": kind }, signal: stopping && stopping.signal });
    const found = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(found.message), { told: found.text || found.message });
    return found;
  };
  let stopping = null, asked = 0;

  const list = () => {
    chosen.replaceChildren(...[...files.files].map((file) => {
      const row = document.createElement("li"), count = document.createElement("span");
      count.textContent = size(file.size);
      row.append(file.name, count);
      return row;
    }));
    chosen.hidden = !files.files.length;
  };
  const tell = async () => {
    const peer = field("peer"), turn = ++asked;
    if (!peer) return;
    const query = new URLSearchParams({ peer, bytes: total(), one_time: field("one_time") });
    try {
      const answer = await fetch("/api/estimate?" + query);
      const found = await answer.json();
      if (turn !== asked || !answer.ok) return;
      of("level").className = "state " + found.level;
      of("needed").textContent = found.text;
      of("detail").textContent = found.detail;
      of("detail").hidden = !found.detail;
      of("mode").textContent = found.mode_text + ".";
      of("means").textContent = found.mode_means;
      estimate.hidden = false;
    } catch { estimate.hidden = true; }
  };
  const changed = () => { complain(""); list(); tell(); };
  form.addEventListener("change", changed);
  setInterval(() => { if (!document.hidden && !stopping && !estimate.hidden) tell(); }, 2000);

  const isFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  for (const name of ["dragenter", "dragover"])
    addEventListener(name, (event) => { if (isFile(event)) { event.preventDefault(); drop.classList.add("over"); } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    drop.classList.remove("over");
    if (stopping || !event.dataTransfer.files.length) return;
    files.files = event.dataTransfer.files;
    changed();
  });

  // A part that was lost on its way is sent again from where the other side is.
  const hand = async (file, said) => {
    const { upload, part_bytes: step } = await ask("POST", "/api/uploads", JSON.stringify({ name: file.name, size: file.size }));
    const path = "/api/uploads/" + upload;
    let at = 0, lost = 0;
    while (at < file.size) {
      try {
        at = (await ask("PUT", `${path}?at=${at}`, file.slice(at, at + step), "application/octet-stream")).have_bytes;
        lost = 0;
      } catch (error) {
        if (error.told || error.name === "AbortError" || ++lost > 8) throw error;
        await new Promise((go) => setTimeout(go, 250 * 2 ** lost));
        at = (await ask("GET", path)).have_bytes;
      }
      said(at);
    }
    return upload;
  };
  const show = (busy) => {
    of("handing").hidden = of("cancel").hidden = !busy;
    of("go").disabled = busy;
    for (const box of form.querySelectorAll("fieldset")) box.disabled = busy;
    files.disabled = busy;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (stopping) return;
    const whole = total(), peer = field("peer"), oneTime = field("one_time") === "1", uploads = [], list = [...files.files];
    stopping = new AbortController();
    complain("");
    show(true);
    try {
      let before = 0;
      for (const file of list) {
        uploads.push(await hand(file, (at) => {
          of("bar").value = whole ? (before + at) / whole : 1;
          of("handed").textContent = size(before + at) + " / " + size(whole);
        }));
        before += file.size;
      }
      const { transfer } = await ask("POST", "/api/send", JSON.stringify({ uploads, peer, one_time: oneTime }));
      location.assign("/transfers/" + encodeURIComponent(transfer));
      return;
    } catch (error) {
      if (error.name === "AbortError") complain("");
      else if (error.told) complain(error.told, error.told === error.message ? "" : error.message);
      else complain(form.dataset.lost);
    }
    stopping = null;
    show(false);
    for (const upload of uploads) ask("DELETE", "/api/uploads/" + upload).catch(() => {});
  });
  of("cancel").addEventListener("click", () => stopping && stopping.abort());
  addEventListener("pageshow", (event) => { if (event.persisted) { stopping = null; show(false); } });
  changed();
})();
