// Live parts of the dashboard. Every page is complete without this file.

// refresh asks for the page again and puts the new content of its live parts in.
async function refresh(url, ids) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (answer.redirected || !(answer.ok || answer.status === 422)) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const now = document.getElementById(id), next = page.getElementById(id);
    if (!now || !next || now.innerHTML === next.innerHTML || now.contains(document.activeElement)) continue;
    now.replaceChildren(...next.childNodes);
  }
  return true;
}

// every repeats work while the page is seen.
function every(seconds, work) {
  const timer = setInterval(async () => {
    if (document.visibilityState !== "visible") return;
    try { if (await work() === false) clearInterval(timer); } catch { /* the next time */ }
  }, seconds * 1000);
}

// On a phone the navigation is one line: the page that is open is in sight.
for (const here of document.querySelectorAll(".side nav [aria-current]")) {
  const list = here.closest("ul");
  list.scrollLeft = here.offsetLeft - list.offsetLeft - (list.clientWidth - here.offsetWidth) / 2;
}

const purse = document.getElementById("purse");
if (purse) every(10, () => refresh(purse.dataset.from, ["purse"]));

// The list of orders looks again while one of them runs: a browser keeps six
// connections to a server, too few for a stream for each order.
if (document.querySelector("[data-running]")) every(2, () => refresh(location.href, ["orders"]));

const live = document.querySelector("[data-events]");
if (live) {
  const events = new EventSource(live.dataset.events);
  let waiting = null;
  const look = () => { // several events in one moment are one look
    waiting ??= setTimeout(async () => {
      waiting = null;
      try { await refresh(location.href, ["live", "details"]); } catch { /* the next event */ }
    }, 150);
  };
  events.addEventListener("progress", (e) => {
    const p = JSON.parse(e.data), bar = document.getElementById("bar"), done = document.getElementById("done");
    if (bar && p.total > 0) { bar.max = p.total; bar.value = p.done; }
    if (done) done.textContent = `${p.done.toLocaleString("en-US")} of ${p.total.toLocaleString("en-US")}`;
    look();
  });
  events.addEventListener("status", () => { look(); if (purse) refresh(purse.dataset.from, ["purse"]).catch(() => {}); });
}

// What a form of criteria finds is counted while it is filled in.
for (const form of document.querySelectorAll("form[data-live]")) {
  let waiting = null;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const url = `${form.action}?${new URLSearchParams(new FormData(form))}`;
      try { if (await refresh(url, [form.dataset.live])) history.replaceState(null, "", url); } catch { /* the button works */ }
    }, 300);
  });
}

// How long it is until a time, in mm:ss.
setInterval(() => {
  for (const e of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Math.round((new Date(e.dataset.until) - Date.now()) / 1000));
    e.textContent = ` (in ${String(Math.floor(left / 60)).padStart(2, "0")}:${String(left % 60).padStart(2, "0")})`;
  }
}, 1000);

// A button that is pressed twice sends its form once.
addEventListener("submit", (e) => {
  const form = e.target;
  if (form.method !== "post") return;
  if (Date.now() - (form.dataset.sent ?? 0) < 2000) e.preventDefault();
  else form.dataset.sent = Date.now();
}, true);

// A list can be dropped anywhere on its form; its columns are offered, and how
// much of it has arrived is shown.
for (const form of document.querySelectorAll("form[data-upload]")) {
  const file = form.elements.file, columns = form.querySelector("datalist");
  const button = form.querySelector("button:not([type])");
  const offer = async () => {
    const head = (await file.files[0]?.slice(0, 65536).text() ?? "").split(/\r?\n/)[0];
    const names = head.includes("@") ? [] : head.split(/[,;\t]/).map((name) => name.trim().replace(/^"|"$/g, ""));
    columns.replaceChildren(...names.filter(Boolean).slice(0, 100).map((name) => new Option(name, name)));
  };
  file.addEventListener("change", () => offer().catch(() => {}));
  form.addEventListener("dragover", (e) => { if (e.dataTransfer?.types.includes("Files")) { e.preventDefault(); form.classList.add("over"); } });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (e) => {
    form.classList.remove("over");
    if (!e.dataTransfer?.files.length) return;
    e.preventDefault();
    file.files = e.dataTransfer.files;
    file.dispatchEvent(new Event("change"));
  });
  form.addEventListener("submit", (e) => {
    if (!file.files.length) return; // pasted text is short
    e.preventDefault();
    button.disabled = true;
    const bar = Object.assign(document.createElement("progress"), { max: file.files[0].size, value: 0 });
    const words = Object.assign(document.createElement("p"), { className: "soft small", textContent: "Sending the file" });
    words.setAttribute("role", "status");
    bar.setAttribute("aria-label", "Sent");
    button.after(bar, words);
    const request = new XMLHttpRequest();
    const stop = (text) => { bar.remove(); words.textContent = text; button.disabled = false; };
    request.upload.addEventListener("progress", (p) => {
      bar.value = p.loaded; bar.max = p.total;
      words.textContent = p.loaded < p.total ? `${Math.floor(p.loaded * 100 / p.total)} % sent` : "The rows are read";
    });
    request.addEventListener("load", () => {
      if (request.status < 400) { location.assign(request.responseURL); return; }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      stop(page.querySelector("main [role=alert], main .panel p")?.textContent ?? "The list was not read; send it again.");
      words.className = "notice bad";
    });
    request.addEventListener("error", () => stop("The connection broke; send the file again."));
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
}
