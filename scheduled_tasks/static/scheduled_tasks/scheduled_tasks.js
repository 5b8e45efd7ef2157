/* The Scheduled tasks page, live. Every form and link works without this file; it only saves page loads.
   Requests and swaps are htmx's; what is here decides when to ask and what must not be disturbed. */

const page = document.getElementById("st");
const drawer = document.getElementById("st-drawer");
const drawerBody = document.getElementById("st-drawer-body");
const toasts = document.getElementById("st-toasts");
const words = JSON.parse(page.dataset.words || "{}");
const skew = Date.parse(page.dataset.now) - Date.now();

const FAST = 1000;
const SLOW = 15000;
const TOAST = 6000;
const TYPING = 250;
const REFRESH = "ST-Refresh";
const OURS = "ST-Request";

/* Our own htmx, whichever other one is on the page: see own_htmx.js. */
const { htmx } = window.scheduledTasks;
Object.assign(htmx.config, { allowEval: false, historyEnabled: false });

const underWay = new WeakMap();

/* The requests of one element go one after another: of those that wait htmx keeps the last, and says of each at once
   that it was answered. What went wrong is told by htmx's events; the promise would only tell it again. */
function ask(verb, url, { headers, ...options }) {
  const { source } = options;
  const send = () => htmx.ajax(verb, url, { ...options, headers: { ...headers, [OURS]: "1" } }).catch(() => {});
  const answered = (underWay.get(source)?.then(send) ?? send()).finally(() => {
    if (underWay.get(source) === answered) underWay.delete(source);
  });
  underWay.set(source, answered);
  return answered;
}

/* Calls the handler for answers to our own requests only. */
function on(name, handler) {
  document.addEventListener(name, (event) => {
    if (event.detail.requestConfig?.headers[OURS]) handler(event);
  });
}

/* ---------- words ---------- */

const now = () => Date.now() + skew;
const fill = (pattern, values) => pattern.replace(/%\((\w+)\)s/g, (_match, name) => values[name]);

function span(seconds) {
  const [, length, one, many] = words.units.find(([limit]) => seconds >= limit);
  const count = Math.floor(seconds / length);
  return (count === 1 ? one : many).replace("%s", count);
}

function relative(element) {
  const seconds = Math.round((Date.parse(element.dateTime) - now()) / 1000);
  if (seconds > 0) return words.in.replace("%s", span(seconds));
  if (element.dataset.stRel === "next") return words.now;
  return (element.dataset.stRel === "late" ? words.late : words.ago).replace("%s", span(-seconds));
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [, short, minutes, hours, days] = words.durations;
  if (seconds < 60) return fill(short, { n: seconds });
  if (seconds < 3600) return fill(minutes, { m: Math.floor(seconds / 60), s: seconds % 60 });
  if (seconds < 86400) return fill(hours, { h: Math.floor(seconds / 3600), m: Math.floor(seconds / 60) % 60 });
  return fill(days, { d: Math.floor(seconds / 86400), h: Math.floor(seconds / 3600) % 24 });
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tellTime() {
  for (const element of document.querySelectorAll("time[data-st-rel]")) write(element, relative(element));
  for (const element of document.querySelectorAll("[data-st-since]")) {
    write(element, duration(now() - Date.parse(element.dataset.stSince)));
  }
  tellUpdated();
}

/* ---------- toasts ---------- */

function toast(text, isError = true) {
  const box = document.createElement("div");
  box.className = isError ? "st-toast st-toast-error" : "st-toast";
  box.setAttribute("role", isError ? "alert" : "status");
  box.innerHTML = `<svg class="st-icon" aria-hidden="true"><use href="#st-${isError ? "alert" : "check"}"/></svg><p></p>
    <button type="button" class="st-ib" data-st-close><svg class="st-icon st-icon-s" aria-hidden="true"><use href="#st-cross"/></svg></button>`;
  box.querySelector("p").textContent = text;
  box.querySelector("button").setAttribute("aria-label", words.close);
  toasts.append(box);
}

function watchToasts() {
  for (const box of toasts.querySelectorAll(".st-toast:not([data-st-seen])")) {
    box.dataset.stSeen = "";
    const { stAbout: about } = box.dataset;
    const outdated = (other) => other.textContent === box.textContent || (about && other.dataset.stAbout === about);
    for (const other of [...toasts.children]) if (other !== box && outdated(other)) other.remove();
    if (box.getAttribute("role") === "alert") continue;
    const leave = () => (box.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : box.remove());
    setTimeout(leave, TOAST);
  }
  if (drawer.open && toasts.parentElement !== drawer) drawer.append(toasts);
  if (!drawer.open && toasts.parentElement === drawer) drawer.after(toasts);
  uncoverFocus();
}

/* Toasts that would cover the focused control go above it. */
function uncoverFocus() {
  toasts.style.insetBlockEnd = "";
  const focused = document.activeElement;
  if (!toasts.childElementCount || toasts.contains(focused)) return;
  const [control, stack] = [focused, toasts].map((element) => element.getBoundingClientRect());
  const covered = [...toasts.children].some((box) => overlap(box.getBoundingClientRect(), control));
  if (covered && control.top > stack.height) toasts.style.insetBlockEnd = `${innerHeight - control.top + 8}px`;
}

function overlap(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

document.addEventListener("focusin", uncoverFocus);
document.addEventListener("scroll", uncoverFocus, { passive: true, capture: true });

/* ---------- the list keeps itself up to date ---------- */

let version = "";
let timer = 0;
let asking = false;
let paused = false;
let failed = false;
let updatedAt = now();

const rows = () => document.querySelectorAll("#st-rows > .st-row");
const somethingRuns = () => document.querySelector("[data-open]") !== null;

function schedule(wait = somethingRuns() ? FAST : SLOW) {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  timer = setTimeout(refresh, wait);
}

async function refresh() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  try {
    await Promise.all([refreshList(), refreshDrawer()]);
  } finally {
    asking = false;
    schedule();
  }
}

function refreshList() {
  if (!page.dataset.poll || !document.getElementById("st-rows")) return null;
  const keys = [...rows()].map((row) => `${row.id.slice(7)}:${row.dataset.key}`).join(".");
  const headers = { [REFRESH]: "1", "ST-Rows": keys, "If-None-Match": version };
  return ask("GET", page.dataset.poll, { source: page, target: page, swap: "none", headers });
}

function refreshDrawer() {
  const shown = drawer.open && drawerBody.querySelector(".st-d");
  const selection = getSelection();
  const selecting = !selection.isCollapsed && drawer.contains(selection.anchorNode);
  if (!shown || selecting || opening) return null;
  const headers = { [REFRESH]: "1", "If-None-Match": shown.dataset.version };
  return ask("GET", openedUrl(shown), { source: drawerBody, target: drawerBody, swap: "innerHTML", headers });
}

function openedUrl(shown) {
  const url = new URL(shown.dataset.url, location);
  for (const body of shown.querySelectorAll(".st-run-body")) url.searchParams.append("run", body.id.slice(12));
  return url.pathname + url.search;
}

function tellUpdated() {
  const place = page.querySelector("[data-st-updated]");
  if (!place) return;
  const text = paused ? words.paused : failed ? words.stale : words.updated.replace("%s", words.ago.replace("%s", span(Math.max(0, Math.round((now() - updatedAt) / 1000)))));
  write(place, text);
  place.classList.toggle("st-late", failed && !paused);
}

/* A row in use is not replaced by a refresh: only its live cells are. */
const LIVE = [".st-c-next", ".st-c-last", ".st-c-dur", ".st-c-status", ".st-c-runs"];
let calm = false;

function inUse(row) {
  return (
    row.contains(document.activeElement) ||
    row.classList.contains("is-open") ||
    row.querySelector(".st-menu[open], .st-c-check :checked") !== null
  );
}

function isOpening(row) {
  return row.classList.contains("is-open") && !document.getElementById(`st-edit-${row.id.slice(7)}`);
}

function carry(from, to) {
  const [was, is] = [from, to].map((row) => row.querySelector(".st-c-check input"));
  if (was && is) is.checked = was.checked;
  if (document.getElementById(`st-edit-${from.id.slice(7)}`)) markOpen(to, true);
}

function keepCells(row, fresh) {
  version = "";
  row.toggleAttribute("data-open", fresh.hasAttribute("data-open"));
  for (const selector of LIVE) {
    const [old, cell] = [row.querySelector(selector), fresh.querySelector(selector)];
    if (old && cell && !old.contains(document.activeElement)) old.replaceWith(cell);
  }
}

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const row = event.detail.target;
  if (!page.contains(row) && row !== toasts) return;
  const fresh = event.detail.fragment.querySelector?.("tr");
  if (!row.matches(".st-row")) {
    const same = calm && event.detail.fragment.textContent === row.textContent;
    event.detail.shouldSwap = !same || row === toasts;
    return;
  }
  const held = (calm && inUse(row)) || isOpening(row);
  if (!fresh) {
    event.detail.shouldSwap = !held; // the row is gone
  } else if (fresh.id === row.id && held) {
    event.detail.shouldSwap = false;
    keepCells(row, fresh);
  } else if (fresh.id === row.id) {
    carry(row, fresh);
  }
});

/* ---------- answers ---------- */

on("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig, target } = event.detail;
  const asked = new URL(requestConfig.path, location);
  const answered = new URL(xhr.responseURL || asked, location);
  if (asked.pathname !== answered.pathname) {
    event.detail.shouldSwap = false;
    location.reload();
    return;
  }
  if (xhr.status === 304) event.detail.shouldSwap = false;
  if (xhr.status === 409 || xhr.status === 422) Object.assign(event.detail, { shouldSwap: true, isError: false });
  calm = REFRESH in requestConfig.headers;
  if (calm && target === drawerBody && isStale(requestConfig)) event.detail.shouldSwap = false;
  if (!calm || target !== page) return;
  updatedAt = now();
  failed = false;
  version = xhr.getResponseHeader("ETag") || "";
});

document.addEventListener("htmx:afterSwap", watchToasts);
document.addEventListener("htmx:afterSettle", () => {
  tellTime();
  unveil();
});

function complain(event, text) {
  if (event.detail.requestConfig.headers[REFRESH]) {
    failed = true;
    tellUpdated();
    return;
  }
  toast(text);
}

on("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  const known = { 403: words.forbidden, 404: words.gone };
  complain(event, known[status] || words.error.replace("%s", status));
});
on("htmx:sendError", (event) => complain(event, words.offline));
on("htmx:timeout", (event) => complain(event, words.offline));

/* ---------- forms ---------- */

async function send(form, submitter) {
  if (submitter?.getAttribute("aria-disabled") === "true") return;
  submitter?.setAttribute("aria-disabled", "true");
  const values = new FormData(form, submitter);
  const address = submitter?.getAttribute("formaction") || form.getAttribute("action") || location.pathname + location.search;
  const wasOn = submitter?.getAttribute("aria-checked");
  if (wasOn) submitter.setAttribute("aria-checked", wasOn === "true" ? "false" : "true");
  let answered = false;
  const source = submitter || form;
  const done = (event) => {
    if (event.detail.elt === source) answered = event.detail.xhr.status >= 200 && event.detail.xhr.status < 400;
  };
  document.addEventListener("htmx:afterRequest", done);
  try {
    await ask("POST", address, { source, target: toasts, swap: "none", values });
  } finally {
    document.removeEventListener("htmx:afterRequest", done);
    submitter?.removeAttribute("aria-disabled");
    if (wasOn && !answered) submitter.setAttribute("aria-checked", wasOn);
    keepFocus(submitter);
    refreshSoon();
  }
  return answered;
}

/* A button in a menu goes with its row: the focus then goes to the menu's own button. */
function keepFocus(submitter) {
  const menu = !submitter?.isConnected && document.activeElement === document.body && submitter?.closest(".st-menu");
  if (menu) document.getElementById(menu.querySelector("summary").id)?.focus();
}

async function sendAndClose(form, submitter) {
  if (await send(form, submitter)) drawer.close();
}

/* What was selected stays selected: the next action is often the opposite one. */
async function sendSelected(form, submitter) {
  await send(form, submitter);
  tellSelected();
}

function refreshSoon() {
  if (drawer.open) refresh();
  else schedule();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const inList = form.closest(".st-edit, .st-drawer") !== null;
  if (form.id === "st-act") send(form, event.submitter);
  else if (form.id === "st-bulk") sendSelected(form, event.submitter);
  else if (form.matches(".st-editor") && inList) saveSchedule(form, event.submitter);
  else if (form.matches("[data-st-form]") && inList) sendAndClose(form, event.submitter);
  else return;
  event.preventDefault();
});

/* ---------- schedule editor ---------- */

function markOpen(row, open) {
  row?.classList.toggle("is-open", open);
  row?.querySelector(".st-pencil")?.setAttribute("aria-expanded", open);
}

async function openEditor(pencil) {
  const row = pencil.closest(".st-row");
  const id = `st-edit-${row.id.slice(7)}`;
  if (document.getElementById(id)) return closeEditor(document.getElementById(id));
  markOpen(row, true);
  await ask("GET", pencil.getAttribute("href"), { source: pencil, target: row, swap: "afterend" });
  const editor = document.getElementById(id);
  if (!editor) return markOpen(row, false);
  showWhole(editor);
  selectField(editor);
}

/* Above the toasts; of an editor that is higher than the screen the buttons. */
function showWhole(editor) {
  for (const part of [editor, editor.querySelector(".st-edit-actions")]) {
    part.scrollIntoView({ block: "nearest" });
    const { top, bottom } = part.getBoundingClientRect();
    const covered = bottom + 8 - toasts.getBoundingClientRect().top;
    if (toasts.childElementCount && covered > 0) scrollBy(0, Math.min(covered, top));
  }
}

/* The field that is typed in, of whichever kind the schedule is. */
const fieldOf = (editor) => editor?.querySelector(".st-fields input");

function selectField(editor) {
  const field = fieldOf(editor);
  field?.focus();
  field?.select();
  return field;
}

async function changeKind(editor, url) {
  const { id } = editor;
  await ask("GET", url, { source: editor, target: editor, swap: "outerHTML" });
  selectField(document.getElementById(id));
}

function closeEditor(editor) {
  const pk = editor.id.slice(8);
  const hadFocus = editor.contains(document.activeElement);
  editor.remove();
  markOpen(document.getElementById(`st-row-${pk}`), false);
  if (hadFocus) document.getElementById(`st-pencil-${pk}`)?.focus();
}

async function saveSchedule(form, submitter) {
  const pk = form.dataset.task;
  const field = fieldOf(form);
  clearTimeout(form.stTyping);
  await send(form, submitter);
  if (form.isConnected) {
    flagError(form);
    if (!form.querySelector(".st-conflict:not([hidden])")) field.focus();
    showWhole(form.closest(".st-edit") ?? form);
    return;
  }
  markOpen(document.getElementById(`st-row-${pk}`), false);
  if (!document.activeElement || document.activeElement === document.body) {
    document.getElementById(`st-pencil-${pk}`)?.focus();
  }
}

function flagError(form) {
  const wrong = form.querySelector(".st-error:not([hidden])") !== null;
  if (wrong) fieldOf(form).setAttribute("aria-invalid", "true");
  else fieldOf(form).removeAttribute("aria-invalid");
}

function previewSoon(form) {
  clearTimeout(form.stTyping);
  form.stTyping = setTimeout(() => {
    if (underWay.has(form.querySelector(".st-preview"))) previewSoon(form);
    else preview(form);
  }, TYPING);
}

async function preview(form) {
  const place = form.querySelector(".st-preview");
  const fields = [...form.querySelectorAll(".st-fields [name]")];
  const values = Object.fromEntries(fields.map((field) => [field.name, field.value]));
  await ask("GET", form.dataset.preview, { source: place, target: place, swap: "innerHTML", values });
  flagError(form);
}

document.addEventListener("input", (event) => {
  const form = event.target.closest(".st-editor");
  if (form) previewSoon(form);
});

/* ---------- drawer ---------- */

let opener = "";

async function openDrawer(url, from) {
  opener = from?.dataset.stDrawer || from?.id || "";
  const menu = from?.closest(".st-menu");
  if (menu) menu.open = false;
  if (!drawer.open) {
    drawerBody.innerHTML = `<p class="st-loading" id="st-d-title" role="status"></p>`;
    drawerBody.firstChild.textContent = words.loading;
    drawer.showModal();
    watchToasts();
  }
  await ask("GET", url, { source: drawerBody, target: drawerBody, swap: "innerHTML" });
  if (!drawerBody.querySelector(".st-d, .st-d-form")) return drawer.close();
  drawerBody.querySelector(".st-form textarea, .st-form input[type=text]")?.focus();
  schedule();
}

async function turnPage(link) {
  await ask("GET", link.getAttribute("href"), { source: drawerBody, target: drawerBody, swap: "innerHTML" });
  drawer.scrollTop = 0;
}

/* While a run is on its way, no refresh takes away the row that it goes below. */
let opening = 0;

async function openRun(link, row) {
  opening += 1;
  try {
    await ask("GET", link.dataset.stRun, { source: link, target: row, swap: "afterend" });
  } finally {
    opening -= 1;
  }
}

function isStale(requestConfig) {
  const shown = drawerBody.querySelector(".st-d");
  return opening > 0 || !shown || requestConfig.path !== openedUrl(shown);
}

async function toggleRun(link) {
  const row = link.closest("tr");
  const body = row.nextElementSibling?.matches(".st-run-body") ? row.nextElementSibling : null;
  const open = body === null;
  if (body) body.remove();
  else await openRun(link, row);
  const opened = row.nextElementSibling;
  if (opened?.matches(".st-run-body")) opened.cells[0].colSpan = row.cells.length;
  row.classList.toggle("is-open", open);
  link.setAttribute("aria-expanded", open);
}

drawer.addEventListener("close", () => {
  watchToasts();
  document.getElementById(opener)?.focus();
  drawerBody.replaceChildren();
  schedule();
});
drawer.addEventListener("mousedown", (event) => {
  if (event.target === drawer) drawer.close();
});

function runAt(strip, event) {
  const ids = strip.dataset.runs ? strip.dataset.runs.split(" ") : [];
  const svg = strip.querySelector("svg").getBoundingClientRect();
  const fromEnd = Math.floor((svg.right - event.clientX) / 4);
  return event.clientX ? ids[ids.length - 1 - fromEnd] : undefined;
}

/* ---------- clicks and keys ---------- */

const plain = (event) => event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);

const actions = {
  "[data-st-close]": (element) => element.closest(".st-toast").remove(),
  "[data-st-close-drawer]": () => drawer.close(),
  "[data-st-cancel]": (element) => {
    const editor = element.closest("tr.st-edit");
    if (!editor) return false;
    closeEditor(editor);
    return true;
  },
  "[data-st-edit]": openEditor,
  ".st-presets a": (element) => {
    const form = element.closest("form");
    for (const [name, value] of new URL(element.href).searchParams) form.elements[name].value = value;
    fieldOf(form).focus();
    preview(form);
  },
  ".st-edit [data-st-kind]": (link) => changeKind(link.closest(".st-edit"), link.getAttribute("href")),
  "[data-st-copy]": copy,
  "[data-st-pause]": togglePause,
  "[data-st-run]": toggleRun,
  "#st-drawer [data-st-page]": turnPage,
  "[data-st-drawer]": (element, event) => {
    const run = element.matches(".st-strip") ? runAt(element, event) : undefined;
    openDrawer(run ? `${element.getAttribute("href")}?run=${run}` : element.getAttribute("href"), element);
  },
};

document.addEventListener("click", (event) => {
  if (!plain(event)) return;
  for (const menu of document.querySelectorAll(".st-menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  for (const [selector, act] of Object.entries(actions)) {
    const element = event.target.closest?.(selector);
    if (!element) continue;
    if (act(element, event) !== false) event.preventDefault();
    return;
  }
});

async function copy(button) {
  const text = button.closest(".st-block, .st-remedy, figure").querySelector("pre, code").textContent;
  await navigator.clipboard.writeText(text);
  toast(words.copied, false);
  watchToasts();
}

function togglePause(button) {
  paused = !paused;
  button.setAttribute("aria-pressed", paused);
  if (paused) clearTimeout(timer);
  else refresh();
  tellUpdated();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const editor = event.target.closest?.("tr.st-edit");
    const menu = document.querySelector(".st-menu[open]");
    if (editor) closeEditor(editor);
    else if (menu && !drawer.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (editor) event.preventDefault();
    dismissTips();
  }
  if (event.key === "/" && !event.target.closest?.("input, select, textarea") && !drawer.open) {
    const search = page.querySelector(".st-search input");
    search?.focus();
    if (search) event.preventDefault();
  }
});

/* They come again when the pointer or the focus does. */
function dismissTips() {
  for (const tipped of document.querySelectorAll(".st-sched:is(:hover, :focus-within)")) {
    tipped.classList.add("is-dismissed");
    for (const left of ["pointerleave", "focusout"]) {
      tipped.addEventListener(left, () => tipped.classList.remove("is-dismissed"), { once: true });
    }
  }
}

/* A menu that would open below the window opens upwards. */
document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.(".st-menu")) return;
  menu.classList.remove("is-up");
  if (menu.open) menu.classList.toggle("is-up", menu.querySelector("ul").getBoundingClientRect().bottom > innerHeight - 8);
}, true);

/* ---------- selection ---------- */

function tellSelected() {
  const place = page.querySelector("[data-st-selected]");
  if (!place) return;
  const boxes = [...document.querySelectorAll("#st-rows .st-c-check input")];
  const chosen = boxes.filter((box) => box.checked).length;
  write(place, fill(words.selected, { n: chosen, total: boxes.length }));
  for (const button of page.querySelectorAll("#st-bulk button[name=action]")) button.disabled = !chosen;
  const all = page.querySelector("[data-st-all]");
  all.checked = chosen > 0 && chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-st-all]")) {
    for (const box of document.querySelectorAll("#st-rows .st-c-check input")) box.checked = event.target.checked;
  }
  tellSelected();
});

/* ---------- start ---------- */

function unveil() {
  for (const element of document.querySelectorAll("[data-st-copy][hidden], [data-st-pause][hidden], [data-st-all][hidden]")) {
    element.hidden = false;
  }
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden && !paused) refresh();
});

unveil();
watchToasts();
tellSelected();
tellTime();
setInterval(tellTime, 1000);
schedule();
