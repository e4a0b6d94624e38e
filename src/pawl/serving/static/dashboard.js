"use strict";
// Pages read without this. It fetches the parts that have changed, and shows what is pointed at.

const campaign = document.body.dataset.campaign;
const wait = 250;

async function refreshed(part) {
  const address = new URL(location.href);
  address.searchParams.set("part", part.dataset.part);
  const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  swap(part, await answer.text());
}

// Keeps what a reader has opened, chosen, scrolled and focused.
function swap(part, html) {
  if (part.dataset.shown === html) return;
  part.dataset.shown = html;
  const open = [...part.querySelectorAll("details[open]")].map((each) => each.id);
  const chosen = [...part.querySelectorAll("input:checked")].map((each) => each.id);
  const places = [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const held = part.contains(document.activeElement) ? document.activeElement : null;
  const label = held && held.closest(".scroll") === held ? held.getAttribute("aria-label") : "";
  const id = held ? held.id : "";
  const button = held && held.matches("button, summary") ? held.textContent : "";
  part.innerHTML = html;
  open.forEach((each) => { const found = each && document.getElementById(each); if (found) found.open = true; });
  chosen.forEach((each) => { const found = each && document.getElementById(each); if (found) found.checked = true; });
  part.querySelectorAll(".scroll").forEach((each, at) => { each.scrollLeft = places[at] || 0; });
  const again = (id && document.getElementById(id))
    || [...part.querySelectorAll(".scroll")].find((each) => label && each.getAttribute("aria-label") === label)
    || [...part.querySelectorAll("button, summary")].find((each) => button && each.textContent === button);
  if (again) again.focus({ preventScroll: true });
}

function tell() {
  const status = document.querySelector(".status");
  if (!status) return;
  const { state, stateText } = status.dataset;
  const pill = document.getElementById("pill");
  pill.className = `pill ${state}`;
  pill.textContent = stateText;
  const step = status.querySelector('[aria-current="step"] b');
  const said = state === "running" && step ? `${stateText}: ${step.textContent}` : stateText;
  const announce = document.getElementById("announce");
  if (announce.textContent !== said) announce.textContent = said;
}

// One refresh at a time; what is asked for meanwhile is fetched once, after it.
let busy = false;
let wanted = new Set();

async function refresh(names) {
  names.forEach((name) => wanted.add(name));
  if (busy) return;
  busy = true;
  try {
    while (wanted.size) {
      const now = wanted;
      wanted = new Set();
      for (const part of document.querySelectorAll("[data-part]")) {
        if (!now.has(part.dataset.part)) continue;
        await refreshed(part);
        tell();
      }
      await new Promise((done) => setTimeout(done, wait));
    }
    lost(false);
  } catch (error) {
    lost(true);
  } finally {
    busy = false;
  }
}

function lost(is) {
  document.getElementById("lost").hidden = !is;
}

function watch() {
  const all = () => [...document.querySelectorAll("[data-part]")].map((part) => part.dataset.part);
  const source = new EventSource(`/c/${campaign}/events?since=${document.body.dataset.version}`);
  source.addEventListener("changed", (event) => {
    document.body.dataset.version = event.lastEventId;
    refresh(all());
  });
  source.addEventListener("clock", () => { if (!document.hidden) refresh(["status"]); });
  source.addEventListener("open", () => lost(false));
  source.addEventListener("error", () => lost(true));
  // Restored from the browser's memory, it may be hours old.
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(all()); });
  addEventListener("pagehide", () => source.close());
}

function light(target) {
  const mark = target instanceof Element ? target.closest("[data-trial]") : null;
  document.querySelectorAll(".lit").forEach((each) => each.classList.remove("lit"));
  document.querySelectorAll(".readout").forEach((each) => { each.textContent = "\u00a0"; });
  if (!mark) return;
  document.querySelectorAll(`[data-trial="${CSS.escape(mark.dataset.trial)}"]`).forEach((each) => {
    each.classList.add("lit");
    const title = each.querySelector("title");
    const figure = each.closest("figure");
    if (title && figure) figure.querySelector(".readout").textContent = title.textContent;
  });
}

document.addEventListener("pointerover", (event) => light(event.target));
document.addEventListener("focusin", (event) => light(event.target));
document.addEventListener("click", (event) => {
  const mark = event.target.closest("svg [data-trial]");
  if (mark) location.href = `/c/${campaign}/trial/${mark.dataset.trial}`;
});
document.addEventListener("change", (event) => {
  const form = event.target.closest(".picks");
  if (!form) return;
  const chosen = [...form.querySelectorAll("input:checked")];
  if (chosen.length > 2) chosen.find((each) => each !== event.target).checked = false;
});

if (campaign) watch();
