/* The Scheduled tasks page, live. Every form and link works without this file; it only saves page loads.
   Each part of an answer is merged node by node into the element with its id, so that focus, selection, open menus
   and typed text stay as they are; data-st-put names the place of one that is new, or "remove". */

const page = document.getElementById("st");
const drawer = document.getElementById("st-drawer");
const drawerBody = document.getElementById("st-drawer-body");
const toasts = document.getElementById("st-toasts");
const words = JSON.parse(page.dataset.words);
const skew = Date.parse(page.dataset.now) - Date.now();
const now = () => Date.now() + skew;

const FAST = 1000;
const SLOW = 15000;
const TOAST = 6000;
const TYPING = 250;
const PATIENCE = 60000;
const ANSWERS = [200, 409, 422]; // statuses of answers that are about the page
const LEFT_ALONE = "0"; // in place of a row's key: the next refresh brings the row again

/* ---------- requests ---------- */

const underWay = new Map();
const abort = (place) => underWay.get(place)?.abort();

/* Asks the server, takes in what it answers, and gives the request. A newer one for the same place ends an older one,
   which then gives null. The browser parses the answer: nothing here needs what a policy of Trusted Types forbids. */
function ask(method, url, place, { quiet = false, headers = {}, body } = {}) {
  abort(place);
  const xhr = new XMLHttpRequest();
  xhr.open(method, url);
  xhr.timeout = PATIENCE;
  for (const [name, value] of Object.entries({ "ST-Request": "1", ...headers })) xhr.setRequestHeader(name, value);
  xhr.onreadystatechange = () => {
    if (xhr.readyState === 2 && ANSWERS.includes(xhr.status)) xhr.responseType = "document"; // no other page is parsed
  };
  underWay.set(place, xhr);
  return new Promise((answered) => {
    const end = (answer) => {
      if (underWay.get(place) === xhr) underWay.delete(place);
      if (answer) takeIn(answer, url, quiet);
      answered(answer);
    };
    xhr.onload = xhr.onerror = xhr.ontimeout = () => end(xhr);
    xhr.onabort = () => end(null);
    xhr.send(body);
  });
}

function takeIn({ status, response, responseURL }, url, quiet) {
  const isElsewhere = responseURL && new URL(responseURL).pathname !== new URL(url, location).pathname;
  if (isElsewhere) location.reload(); // the login page
  else if (response && ANSWERS.includes(status)) putParts(response, quiet);
  else if (status !== 304 && !quiet) toast(failure(status));
}

const failure = (status) =>
  ({ 0: words.offline, 403: words.forbidden, 404: words.gone })[status] ?? words.error.replace("%s", status);

/* ---------- parts of an answer ---------- */

function putParts(answer, quiet) {
  const parts = [...answer.head.children, ...answer.body.children] // a template that comes first is in the head
    .flatMap((child) => [...(child.content?.children ?? [child])])
    .filter((child) => child.matches("[id^=st-], [data-st-put]")); // a page that is not ours has none
  for (const part of parts) put(part, quiet);
  tell();
}

/* A refresh takes away no row that somebody is at. */
const IN_USE = ".st-row:is(:focus-within, :has(+ .st-edit), :has(.st-menu[open], .st-c-check :checked))";

function put(part, quiet) {
  const [how, place] = part.dataset.stPut?.split(":") ?? [];
  delete part.dataset.stPut;
  const there = part.id && find(`#${part.id}`);
  if (!there) {
    if (place) add(find(place), how, part);
  } else if (how !== "remove") {
    merge(there, part);
    if (there.querySelector(".st-menu[open]")) there.dataset.key = LEFT_ALONE;
  } else if (quiet && there.matches(IN_USE)) {
    there.dataset.key = LEFT_ALONE;
  } else {
    there.remove();
  }
}

const find = (selector) => (drawer.open && drawer.querySelector(selector)) || document.querySelector(selector);

/* Between a row and its editor comes nothing. */
function add(target, how, part) {
  const editor = how === "afterend" && !part.matches(".st-edit") && target?.matches(":has(+ .st-edit)");
  (editor ? target.nextElementSibling : target)?.insertAdjacentElement(how, part);
}

/* Makes the old node like the fresh one, and leaves alone what they have in common, and an open menu. */
function merge(old, fresh) {
  if (old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) return write(old, fresh.data);
  if (old.matches("details[open]")) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) set(old, name, value);
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    // A node without an id takes no place of one with an id, which may come later.
    const same = child.id ? old.querySelector(`:scope > #${child.id}`) : !place?.id && place;
    if (!same) {
      old.insertBefore(child, place);
      continue;
    }
    while (place !== same) place = removed(place);
    place = same.nextSibling;
    merge(same, child);
  }
  while (place) place = removed(place);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/* What the server does not know. */
function tell() {
  tellTime();
  tellEditors();
  tellSelected();
  arrangeToasts();
}

/* ---------- times in words ---------- */

const fill = (pattern, values) => pattern.replace(/%\((\w+)\)s/g, (_match, name) => values[name]);

function span(seconds) {
  const [, length, one, many] = words.units.find(([limit]) => seconds >= limit);
  const count = Math.floor(seconds / length);
  return (count === 1 ? one : many).replace("%s", count);
}

function relative(moment, kind) {
  const seconds = Math.round((moment - now()) / 1000);
  if (seconds > 0) return words.in.replace("%s", span(seconds));
  if (kind === "next") return words.now;
  return (kind === "late" ? words.late : words.ago).replace("%s", span(-seconds));
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [m, h, d] = [60, 3600, 86400].map((length) => Math.floor(seconds / length));
  const [short, minutes, hours, days] = words.durations;
  if (!m) return fill(short, { n: seconds });
  if (!h) return fill(minutes, { m, s: seconds % 60 });
  return d ? fill(days, { d, h: h % 24 }) : fill(hours, { h, m: m % 60 });
}

function tellTime() {
  for (const time of document.querySelectorAll("time[data-st-rel]")) {
    write(time, relative(Date.parse(time.dateTime), time.dataset.stRel));
  }
  for (const time of document.querySelectorAll("[data-st-since]")) {
    write(time, duration(now() - Date.parse(time.dataset.stSince)));
  }
  tellUpdated();
}

/* ---------- toasts ---------- */

function toast(text, isError = true) {
  const [failed, done] = document.getElementById("st-new-toasts").content.children;
  const box = (isError ? failed : done).cloneNode(true);
  box.querySelector("p").textContent = text;
  toasts.append(box);
  arrangeToasts();
}

function arrangeToasts() {
  for (const box of toasts.querySelectorAll(".st-toast:not([data-st-seen])")) {
    box.dataset.stSeen = "";
    const { stAbout: about } = box.dataset;
    const outdated = (other) => other.textContent === box.textContent || (about && other.dataset.stAbout === about);
    for (const other of [...toasts.children]) if (other !== box && outdated(other)) other.remove();
    const leave = () => (box.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : box.remove());
    if (box.getAttribute("role") === "status") setTimeout(leave, TOAST);
  }
  const home = drawer.open ? drawer : drawer.parentElement; // outside an open dialog nothing can be clicked
  if (toasts.parentElement !== home) home.append(toasts);
  uncoverFocus();
}

/* Toasts that would cover the focused control go above it. */
function uncoverFocus() {
  toasts.style.insetBlockEnd = "";
  const focused = document.activeElement;
  if (!toasts.childElementCount || toasts.contains(focused)) return;
  const { left, right, top, bottom } = focused.getBoundingClientRect();
  const boxes = [...toasts.children].map((box) => box.getBoundingClientRect());
  const covered = boxes.some((box) => box.left < right && left < box.right && box.top < bottom && top < box.bottom);
  if (covered && top > toasts.offsetHeight) toasts.style.insetBlockEnd = `${innerHeight - top + 8}px`;
}

document.addEventListener("focusin", uncoverFocus);
document.addEventListener("scroll", uncoverFocus, { passive: true, capture: true });

/* ---------- the list and the open drawer keep themselves up to date ---------- */

let version = "";
let timer = 0;
let paused = false;
let failed = false;
let updatedAt = now();

function schedule() {
  clearTimeout(timer);
  const somethingRuns = document.querySelector("[data-open]") !== null;
  if (!paused && !document.hidden) timer = setTimeout(refresh, somethingRuns ? FAST : SLOW);
}

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || underWay.has(page) || underWay.has(drawer)) return;
  await Promise.all([refreshList(), refreshDrawer()]);
  schedule();
}

async function refreshList() {
  if (!page.dataset.poll || !document.getElementById("st-rows")) return;
  const rows = [...document.querySelectorAll("#st-rows > .st-row")].map((row) => `${row.id.slice(7)}:${row.dataset.key}`);
  const known = document.querySelector(`[data-key="${LEFT_ALONE}"]`) ? "" : version;
  const headers = { "ST-Rows": rows.join("."), "If-None-Match": known };
  const answer = await ask("GET", page.dataset.poll, page, { quiet: true, headers });
  if (!answer) return;
  failed = ![200, 304].includes(answer.status);
  if (!failed) updatedAt = now();
  version = answer.getResponseHeader("ETag") || "";
  tellUpdated();
}

async function refreshDrawer() {
  const shown = drawerBody.querySelector("[data-url]");
  const isSelecting = !getSelection().isCollapsed && drawer.contains(getSelection().anchorNode);
  if (!shown || isSelecting || underWay.has(drawerBody)) return;
  const url = new URL(shown.dataset.url, location);
  for (const link of shown.querySelectorAll("[data-st-run][aria-expanded=true]")) url.searchParams.append("run", link.id.slice(12));
  await ask("GET", url.href, drawer, { quiet: true, headers: { "If-None-Match": shown.dataset.version } });
}

function tellUpdated() {
  const place = page.querySelector("[data-st-updated]");
  if (!place) return;
  const age = words.ago.replace("%s", span(Math.max(0, Math.round((now() - updatedAt) / 1000))));
  write(place, paused ? words.paused : failed ? words.stale : words.updated.replace("%s", age));
  place.classList.toggle("st-late", failed && !paused);
}

function togglePause(button) {
  paused = !paused;
  button.ariaPressed = paused;
  if (paused) clearTimeout(timer);
  else refresh();
  tellUpdated();
}

document.addEventListener("visibilitychange", () => paused || refresh());

/* ---------- forms ---------- */

async function send(form, submitter) {
  const source = submitter ?? form;
  if (underWay.has(source)) return;
  const menu = submitter?.closest(".st-menu");
  if (menu) closeMenu(menu);
  const checked = submitter?.ariaChecked;
  if (checked) submitter.ariaChecked = checked === "false";
  const url = submitter?.getAttribute("formaction") || form.getAttribute("action") || location.href;
  abort(page); // what the list was about to learn is older than what this changes
  const answer = await ask("POST", url, source, { body: new URLSearchParams(new FormData(form, submitter)) });
  const isDone = answer?.status === 200;
  if (checked && !isDone) submitter.ariaChecked = checked;
  if (form.matches("[data-st-form]")) await afterForm(form, isDone);
  if (form.matches(".st-editor")) afterSave(form);
  if (drawer.open) refresh();
  else schedule();
}

/* A form that names a page leads back to it; any other closes the drawer. */
async function afterForm(form, isDone) {
  const { stForm: back } = form.dataset;
  if (!isDone) return form.querySelector("[aria-invalid=true], .st-conflict a")?.focus();
  if (!back) return drawer.close();
  await turnPage({ href: back });
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("#st-act, #st-bulk, .st-edit .st-editor, .st-drawer [data-st-form]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

/* ---------- schedule editor ---------- */

const editorOf = (pencil) => document.getElementById(pencil.id.replace("pencil", "edit"));
const pencilOf = (editor) => document.getElementById(editor.id.replace("edit", "pencil"));
/* The field that is typed in, of whichever kind the schedule is. */
const fieldOf = (editor) => editor.querySelector(".st-fields input");

async function openEditor(pencil, url = pencil.href) {
  await ask("GET", url, pencil);
  const editor = editorOf(pencil);
  if (!editor) return;
  showWhole(editor);
  fieldOf(editor).focus();
  fieldOf(editor).select();
}

function closeEditor(editor) {
  if (editor.contains(document.activeElement)) pencilOf(editor)?.focus();
  editor.remove();
  tellEditors();
}

function tellEditors() {
  for (const pencil of page.querySelectorAll("[data-st-edit]")) set(pencil, "aria-expanded", editorOf(pencil) !== null);
}

/* Of an editor that is higher than the screen, the buttons. */
function showWhole(editor) {
  for (const part of [editor, editor.querySelector(".st-edit-actions")]) part.scrollIntoView({ block: "nearest" });
}

function afterSave(form) {
  clearTimeout(form.stTyping);
  if (form.isConnected) {
    flagError(form);
    if (!form.querySelector(".st-conflict:not([hidden])")) fieldOf(form).focus();
    showWhole(form);
  } else if (document.activeElement === document.body) {
    document.getElementById(`st-pencil-${form.dataset.task}`)?.focus();
  }
}

const flagError = (form) => (fieldOf(form).ariaInvalid = !form.querySelector(".st-error").hidden);

async function preview(form) {
  const fields = [...form.querySelectorAll(".st-fields [name]")].map((field) => [field.name, field.value]);
  await ask("GET", `${form.dataset.preview}?${new URLSearchParams(fields)}`, form.querySelector(".st-preview"));
  flagError(form);
}

document.addEventListener("input", (event) => {
  const form = event.target.closest(".st-editor");
  clearTimeout(form?.stTyping);
  if (form) form.stTyping = setTimeout(preview, TYPING, form);
});

function fillIn(preset) {
  const form = preset.closest("form");
  for (const [name, value] of new URL(preset.href).searchParams) form.elements[name].value = value;
  fieldOf(form).focus();
  preview(form);
}

/* ---------- drawer ---------- */

function visit(url) {
  abort(drawer);
  return ask("GET", url, drawerBody);
}

/* The dialog gives the focus back to whatever had it. */
async function openDrawer(link, event) {
  const run = link.matches(".st-strip") && runAt(link, event);
  const menu = link.closest(".st-menu");
  if (menu) closeMenu(menu);
  else link.focus();
  if (!drawer.open) drawer.showModal();
  arrangeToasts();
  const answer = await visit(run ? `${link.href}?run=${run}` : link.href);
  if (answer && !drawerBody.childElementCount) drawer.close();
  fieldOfForm()?.focus();
  schedule();
}

/* The run whose bar was clicked. A bar is 4 pixels wide, the newest is at the end. */
function runAt(strip, event) {
  const fromEnd = Math.floor((strip.querySelector("svg").getBoundingClientRect().right - event.clientX) / 4);
  return event.clientX && strip.dataset.runs.split(" ").at(-1 - fromEnd);
}

const fieldOfForm = () => drawerBody.querySelector(".st-form :is(textarea, input[type=text])");

/* Between a task and its form of alerts the focus goes to the first field, and back to the link. */
async function turnPage({ href }) {
  const wasForm = fieldOfForm() !== null;
  await visit(href);
  drawer.scrollTop = 0;
  (wasForm ? document.getElementById("st-d-alerts") : fieldOfForm())?.focus();
}

async function toggleRun(link) {
  const row = link.closest("tr");
  const isOpen = link.ariaExpanded === "true";
  const body = () => row.parentElement.querySelector(`#${row.id.replace("run", "run-body")}`);
  link.ariaExpanded = !isOpen;
  abort(drawer); // it would answer for the runs that were open
  if (isOpen) return body()?.remove();
  await ask("GET", link.dataset.stRun, link);
  link.ariaExpanded = body() !== null;
  if (body()) body().cells[0].colSpan = row.cells.length;
}

drawer.addEventListener("close", () => {
  abort(drawer);
  abort(drawerBody);
  drawerBody.replaceChildren();
  arrangeToasts();
  schedule();
});
drawer.addEventListener("mousedown", (event) => {
  if (event.target !== drawer) return;
  event.preventDefault(); // which would take the focus from where the dialog puts it
  drawer.close();
});

/* ---------- selection ---------- */

const boxes = () => [...document.querySelectorAll("#st-rows .st-c-check input")];

function tellSelected() {
  const place = page.querySelector("[data-st-selected]");
  if (!place) return;
  const total = boxes().length;
  const n = boxes().filter((box) => box.checked).length;
  write(place, fill(words.selected, { n, total }));
  for (const button of page.querySelectorAll("#st-bulk button[name=action]")) button.disabled = !n;
  const all = page.querySelector("[data-st-all]");
  all.checked = n > 0 && n === total;
  all.indeterminate = n > 0 && n < total;
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-st-all]")) for (const box of boxes()) box.checked = target.checked;
  tellSelected();
});

/* ---------- clicks and keys ---------- */

const actions = {
  "[data-st-close]": (button) => button.closest(".st-toast").remove(),
  "[data-st-close-drawer]": () => drawer.close(),
  ".st-edit [data-st-cancel]": (button) => closeEditor(button.closest(".st-edit")),
  ".st-edit [data-st-kind]": (link) => openEditor(pencilOf(link.closest(".st-edit")), link.href),
  "[data-st-edit][aria-expanded=true]": (pencil) => closeEditor(editorOf(pencil)),
  "[data-st-edit]": (pencil) => openEditor(pencil),
  ".st-presets a": fillIn,
  "[data-st-copy]": copy,
  "[data-st-pause]": togglePause,
  "[data-st-run]": toggleRun,
  "#st-drawer [data-st-page]": turnPage,
  "[data-st-drawer]": openDrawer,
};

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  for (const menu of document.querySelectorAll(".st-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const selector = Object.keys(actions).find((each) => event.target.closest(each));
  if (!selector) return;
  event.preventDefault();
  actions[selector](event.target.closest(selector), event);
});

function closeMenu(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

async function copy(button) {
  const text = button.closest(".st-block, .st-remedy, figure").querySelector("pre, code").textContent;
  await navigator.clipboard.writeText(text);
  toast(words.copied, false);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const editor = event.target.closest(".st-edit");
    const menu = page.querySelector(".st-menu[open]");
    page.classList.add("is-quiet"); // hides a tip until the pointer or the focus moves on
    if (editor) closeEditor(editor);
    else if (menu && !drawer.open) closeMenu(menu);
  }
  if (event.key === " " && event.target.matches(":is(.st, .st-drawer, .st-toasts) a[role=button]")) {
    event.preventDefault(); // a link scrolls the page instead
    event.target.click();
  }
  const search = page.querySelector(".st-search input");
  if (event.key === "/" && search && !event.target.closest("input, select, textarea") && !drawer.open) {
    search.focus();
    event.preventDefault();
  }
});

for (const moved of ["pointerout", "focusin"]) page.addEventListener(moved, () => page.classList.remove("is-quiet"));

/* ---------- start ---------- */

tell();
setInterval(tellTime, 1000);
schedule();
