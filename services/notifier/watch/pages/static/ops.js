// Keeps a page current: asks for it again every two seconds and puts in the parts that changed.
"use strict";

const PAUSE = 2000;
const live = document.getElementById("live");
const here = location.href;
let since = null;

function say(words, stale) {
  if (live.textContent !== words) live.textContent = words;
  live.classList.toggle("stale", stale);
}

function busy(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && part.contains(selection.anchorNode);
}

function replace(part, fresh) {
  if (part.innerHTML === fresh.innerHTML || busy(part)) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.replaceChildren(...fresh.childNodes);
  if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

async function refresh() {
  try {
    const answer = await fetch(here, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.status >= 500) throw new Error(String(answer.status));
    const parts = [...document.querySelectorAll("[data-live]")];
    if (parts.some((part) => !page.getElementById(part.id))) return location.assign(here); // another page by now
    document.title = page.title;
    for (const part of parts) replace(part, page.getElementById(part.id));
    since = null;
    say("live", false);
  } catch {
    since ??= new Date().toLocaleTimeString();
    say(`no answer since ${since}: what you see is old`, true);
  }
}

async function run() {
  if (!document.querySelector("[data-live]")) return say("", false); // a question waits for its answer
  if (!document.hidden) await refresh();
  setTimeout(run, PAUSE);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("q").focus();
  }
});
say("live", false);
run();
