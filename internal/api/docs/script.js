document.addEventListener("click", async event => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const pre = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(pre.textContent);
  } catch { // without HTTPS there is no clipboard: select it
    getSelection().selectAllChildren(pre);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});
document.getElementById("find").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const entry of document.querySelectorAll("nav li")) {
    const text = (entry.textContent + entry.querySelector("a").hash).toLowerCase();
    entry.hidden = !words.every(word => text.includes(word));
  }
});
