// Live parts of the dashboard. Every page is complete without this file.

// refresh asks for the page again and puts the new content of its live parts in.
async function refresh(url, ids) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return false;
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
