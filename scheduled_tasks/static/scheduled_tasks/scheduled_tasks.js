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
const LEFT_ALONE = "0"; // as the key of a row, or of the counts: a later refresh brings it again

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
  const from = `1${page.dataset.poll ? location.search : ""}`;
  for (const [name, value] of Object.entries({ "ST-Request": from, ...headers })) xhr.setRequestHeader(name, value);
  xhr.onreadystatechange = () => {
    if (xhr.readyState === 2 && ANSWERS.includes(xhr.status)) xhr.responseType = "document"; // no other page is parsed
  };
  underWay.set(place, xhr);
  const isInDrawer = drawerBody.contains(place);
  return new Promise((answered) => {
    const end = (answer) => {
      if (underWay.get(place) === xhr) underWay.delete(place);
      if (answer) takeIn(answer, url, method, quiet, isInDrawer && !drawerBody.contains(place));
      answered(answer);
    };
    xhr.onload = xhr.onerror = xhr.ontimeout = () => end(xhr);
    xhr.onabort = () => end(null);
    xhr.send(body);
  });
}

function takeIn({ status, response, responseURL }, url, method, quiet, isLeft) {
  const isElsewhere = responseURL && new URL(responseURL).pathname !== new URL(url, location).pathname;
  if (isElsewhere && quiet && typedIn(document).length) stopRefresh();
  else if (isElsewhere) location.reload(); // the login page
  else if (response && ANSWERS.includes(status)) putParts(response, quiet, isLeft);
  else if (status !== 304 && !quiet) toast(failure(status, method));
}

const failure = (status, method) =>
  ({ 0: method === "POST" ? words.unsent : words.offline, 403: words.forbidden, 404: words.gone })[status] ?? words.error.replace("%s", status);

/* ---------- parts of an answer ---------- */

/* Of a form that was left before it was answered, the answer only says what was wrong. */
function putParts(answer, quiet, isLeft) {
  const parts = [...answer.head.children, ...answer.body.children] // a template that comes first is in the head
    .flatMap((child) => [...(child.content?.children ?? [child])])
    .filter((child) => child.matches("[id^=st-], [data-st-put]")); // a page that is not ours has none
  const form = isLeft && parts.find((part) => part.id === "st-drawer-body");
  for (const part of parts) if (part !== form) put(part, quiet);
  const isTold = parts.some((part) => part.matches(".st-toast"));
  const error = form && !isTold && form.querySelector(".st-error:not([hidden]), .st-conflict p");
  if (error) toast(error.textContent.trim());
  if (drawerBody.childElementCount && !drawer.open) drawer.showModal();
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
  } else if (quiet && there.matches(".st-row") && isSelected(there)) {
    there.dataset.key = LEFT_ALONE;
  } else if (how !== "remove") {
    merge(there, part, quiet);
    if (there.matches(":is(.st-row, #st-counts):has(.st-menu[open])")) there.dataset.key = LEFT_ALONE;
    if (there.dataset.version && there.querySelector(".st-menu[open]")) there.dataset.version = "";
  } else if (quiet && there.matches(IN_USE)) {
    there.dataset.key = LEFT_ALONE;
  } else {
    if (drawer.open && !heir?.isConnected) heir = besideRow(there);
    if (there.contains(heir)) heir = besideRow(there);
    there.remove();
  }
}

/* What the drawer gives the focus to when the row that it was opened from is gone: the next row, else the heading. */
let heir;

function besideRow(row) {
  const next = [row.nextElementSibling, row.previousElementSibling].find((each) => each?.matches(".st-row"));
  return next?.querySelector(".st-name a") ?? page.querySelector("h1");
}

const find = (selector) => (drawer.open && drawer.querySelector(selector)) || document.querySelector(selector);

/* Between a row and its editor comes nothing. */
function add(target, how, part) {
  const editor = how === "afterend" && !part.matches(".st-edit") && target?.matches(":has(+ .st-edit)");
  (editor ? target.nextElementSibling : target)?.insertAdjacentElement(how, part);
}

/* Makes the old node like the fresh one, and leaves alone what they have in common, and an open menu. What is typed
   stays, and what is unfolded; a field in which nothing is typed follows. A refresh does not answer for a person either. */
function merge(old, fresh, quiet) {
  if (old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) return write(old, fresh.data);
  if (old.matches(".st-menu[open]") || fresh.matches("[data-st-kept]")) return;
  if (quiet && old.matches(".st-ack > :is([name=seen], .st-conflict)") && isAsked(old.parentElement, fresh)) return;
  const follows = old.matches("input[type=text]") && !isTyped(old);
  const isKept = (name) => fresh.hasAttribute(name) || (name === "open" && old.matches("details"));
  for (const { name } of [...old.attributes]) if (!isKept(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) set(old, name, value);
  if (follows && old.value !== old.defaultValue) old.value = old.defaultValue;
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
    merge(same, child, quiet);
  }
  while (place) place = removed(place);
}

/* A button that is there no more leaves the focus to one of its heirs. A menu that is open stays. */
function removed(node) {
  const next = node.nextSibling;
  if (node.matches?.("#st-counts > :has(> .st-menu[open])")) return next;
  const heirs = node.contains(document.activeElement) ? heirsOf(node) : [];
  if (!isNoted(node)) node.remove();
  else for (const form of formsOf(node)) endForm(form);
  if (document.activeElement === document.body) heirs.find(takesFocus);
  return next;
}

function takesFocus(element) {
  element.focus();
  return element === document.activeElement;
}

/* A heading takes the focus only when it is given. */
function focusOn(element) {
  if (!element.matches("a, button")) element.tabIndex = -1;
  element.focus();
}

/* The head of what it was folded into, else the next control, or the last one. */
function heirsOf(node) {
  const fold = node.parentElement.closest("details")?.querySelector("summary");
  const all = node.parentElement.closest(".st, .st-drawer")?.querySelectorAll("a, button, summary, input:not([type=hidden])");
  const others = [...(all ?? [])].filter((each) => !node.contains(each));
  const following = others.findIndex((each) => node.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
  return [...(fold ? [fold] : []), ...others.slice(following)];
}

const isTyped = (field) => field.value !== field.defaultValue;

/* Whether a form says something that the fresh one does not: a note, or what somebody else did meanwhile. It then goes
   on saying what the person saw, so that the server tells what others do. */
function isAsked(form, fresh) {
  const { note } = form.elements;
  const isNew = note.value !== fresh.closest("form").elements.note.value;
  return form.querySelector(".st-conflict:not([hidden])") || (isTyped(note) && isNew);
}

/* A typed note outlives its incident. */
const isNoted = (node) =>
  node.nodeType === Node.ELEMENT_NODE &&
  node.matches(".st-ack, .st-handling, .st-incidents, .st-incidents > li") &&
  formsOf(node).some((form) => isTyped(form.elements.note));

const formsOf = (node) => (node.matches(".st-ack") ? [node] : [...node.querySelectorAll(".st-ack")]);

/* The incident is over: what was typed can be read and copied, but no longer sent. */
function endForm(form) {
  form.elements.note.readOnly = true;
  for (const part of form.querySelectorAll("button, .st-ack-mute, .st-conflict")) part.remove();
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function write(node, text) {
  if (node.textContent !== text && !isSelected(node)) node.textContent = text;
}

/* Whether a person has selected text in it. */
const isSelected = (node) => !getSelection().isCollapsed && getSelection().containsNode(node, true);

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
  if (seconds > 0 && kind !== "queued") return words.in.replace("%s", span(seconds));
  if (kind && -seconds < words.atOnce) return words.now;
  return words[kind || "ago"].replace("%s", span(-seconds));
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [m, h, d] = [60, 3600, 86400].map((length) => Math.floor(seconds / length));
  const [short, minutes, hours, days] = words.durations;
  if (!m) return fill(short, { n: seconds });
  if (!h) return fill(minutes, { m, s: seconds % 60 });
  return d ? fill(days, { d, h: h % 24 }) : fill(hours, { h, m: m % 60 });
}

/* A page that does not refresh itself cannot know whether a run has started since. */
const TICKING = ":is([data-poll], [data-url], .st-drawer) time[data-st-rel], time[data-st-rel='']";

function tellTime() {
  for (const time of document.querySelectorAll(TICKING)) {
    write(time, relative(Date.parse(time.dateTime), time.dataset.stRel));
  }
  for (const time of document.querySelectorAll("[data-st-since]")) {
    write(time, duration(now() - Date.parse(time.dataset.stSince)));
  }
  for (const hint of document.querySelectorAll("[data-st-usual]")) write(hint, farFromUsual(hint.dataset));
  tellUpdated();
}

function farFromUsual({ stBegan, stUsual }) {
  const factor = (now() - Date.parse(stBegan)) / 1000 / stUsual;
  const digits = factor < 10 ? 1 : 0;
  const shown = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return factor < words.far ? "" : fill(words.usual, { factor: factor.toLocaleString(document.documentElement.lang, shown) });
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
    if (!box.isConnected) continue; // an equal one of the same answer took its place
    box.dataset.stSeen = "";
    const { stAbout: about } = box.dataset;
    const outdated = (other) => other.textContent === box.textContent || (about && other.dataset.stAbout === about);
    for (const other of [...toasts.children].filter((each) => each !== box && outdated(each))) {
      if (other.contains(document.activeElement)) box.querySelector("button, a").focus(); // Undo was pressed
      other.remove();
    }
    const leave = () => (box.matches(":hover, :has(:focus-visible)") ? setTimeout(leave, 1000) : box.remove());
    if (box.getAttribute("role") === "status" && !box.dataset.url) setTimeout(leave, TOAST);
  }
  const home = drawer.open ? drawer : drawer.parentElement; // outside an open dialog nothing can be clicked
  if (toasts.parentElement !== home) home.append(toasts);
  uncoverFocus();
}

/* An Undo that was answered says so in another message. */
function endToast(box) {
  if (box?.contains(document.activeElement)) toasts.lastElementChild.querySelector("button, a").focus();
  box?.remove();
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

/* ---------- the list, incidents and the open drawer keep themselves up to date ---------- */

let version = "";
let timer = 0;
let paused = false;
let failed = false;
let updatedAt = now();

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(refresh, document.querySelector("[data-open]") ? FAST : untilNews());
}

/* A second after the next time that is shown; while one is said to be now, each second. */
function untilNews() {
  const times = [...document.querySelectorAll("time[data-st-rel=next]")].map((time) => Date.parse(time.dateTime) - now());
  const soon = times.filter((left) => left > -1000 * words.atOnce);
  return Math.max(FAST, Math.min(SLOW, ...soon.map((left) => left + FAST)));
}

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || underWay.has(page) || underWay.has(drawer)) return;
  await Promise.all([refreshList(), refreshPart(page, page), refreshPart(drawer, drawerBody), ...followRuns()]);
  schedule();
}

async function refreshList() {
  if (!page.dataset.poll || !document.getElementById("st-rows")) return;
  const rows = [...document.querySelectorAll("#st-rows > .st-row")].map((row) => `${row.id.slice(7)}:${row.dataset.key}`);
  const isLeft = (part) => document.querySelector(`${part}[data-key="${LEFT_ALONE}"]`) !== null;
  const inRows = isLeft(".st-row") ? version.replace(/"[^.]*/, '"') : version; // what is around the rows is known
  const known = isLeft("#st-counts:not(:has(.st-menu[open]))") ? "" : inRows;
  const headers = { "ST-Rows": rows.join("."), "If-None-Match": known };
  const answer = await ask("GET", page.dataset.poll, page, { quiet: true, headers });
  if (!answer) return;
  failed = ![200, 304].includes(answer.status);
  if (!failed) updatedAt = now();
  version = answer.getResponseHeader("ETag") || "";
  tellUpdated();
}

/* The part of a place that names its address and its version. */
async function refreshPart(place, parent) {
  const shown = parent.querySelector("[data-url]");
  const isSelecting = !getSelection().isCollapsed && place.contains(getSelection().anchorNode);
  if (!shown || isSelecting || underWay.has(parent)) return;
  const url = new URL(shown.dataset.url, location);
  for (const link of shown.querySelectorAll("[data-st-run][aria-expanded=true]")) url.searchParams.append("run", link.id.slice(12));
  const headers = { "If-None-Match": shown.dataset.version };
  const answer = await ask("GET", url.href, place, { quiet: true, headers });
  if (answer?.status === 404) tellGone(shown);
}

/* What somebody else deleted stays to be read, and says so. */
function tellGone(shown) {
  for (const name of ["url", "open"]) delete shown.dataset[name];
  for (const open of shown.querySelectorAll("[data-open]")) delete open.dataset.open;
  const notice = Object.assign(document.createElement("p"), { className: "st-notice", role: "alert", textContent: words.gone });
  shown.querySelector("header").after(notice);
}

/* The message of a run that was started here becomes its outcome. */
function followRuns() {
  return [...toasts.querySelectorAll("[data-url]")].map((box) => {
    const headers = { "If-None-Match": box.dataset.version };
    return ask("GET", box.dataset.url, box, { quiet: true, headers });
  });
}

function tellUpdated() {
  const place = page.querySelector("[data-st-updated]");
  if (!place) return;
  const age = words.ago.replace("%s", span(Math.max(0, Math.round((now() - updatedAt) / 1000))));
  write(place, paused ? words.paused : failed ? words.stale : words.updated.replace("%s", age));
  place.classList.toggle("st-late", failed && !paused);
}

/* The session is over, and the login page would take the place of what is typed. */
function stopRefresh() {
  paused = true;
  toast(words.forbidden);
  tellUpdated();
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
  submitter?.setAttribute("aria-busy", "true");
  form.dataset.stSent = "";
  const answer = await ask("POST", url, source, { body: new URLSearchParams(new FormData(form, submitter)) });
  submitter?.removeAttribute("aria-busy");
  if (ANSWERS.includes(answer?.status)) endToast(submitter?.closest(".st-toast"));
  const isDone = answer?.status === 200 && !submitter?.matches("[data-st-switch]");
  if (checked && !isDone) submitter.ariaChecked = checked;
  form.toggleAttribute("data-st-unsaved", !isDone);
  form.toggleAttribute("data-st-sent", isDone);
  if (form.isConnected && form.matches("[data-st-form]")) await afterForm(form, isDone);
  delete form.dataset.stSent;
  if (form.matches(".st-editor")) afterSave(form);
  if (form.matches(".st-ack")) form.querySelector(".st-conflict a")?.focus();
  abort(page); // it may have asked before the change
  refresh();
}

/* A form leads back to the page that it names, or to the task that it was opened from; any other closes the drawer,
   and so does one that ends what the drawer is about. */
async function afterForm(form, isDone) {
  if (!isDone) return form.querySelector("[aria-invalid=true], .st-conflict a")?.focus();
  if (form.matches("[data-st-ends]")) return drawer.close();
  await leaveForm(form.dataset.stForm || addressOf(shown));
}

const leaveForm = (back) => (back ? turnPage({ href: back }) : drawer.close());

document.addEventListener("submit", (event) => {
  if (event.target.contains(searchField())) {
    event.preventDefault();
    return search(searchField());
  }
  if (!event.target.matches("#st-act, #st-bulk, .st-ack, [data-st-post], .st-edit .st-editor, .st-drawer [data-st-form]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

function keepTheirs(link) {
  const form = link.closest("form");
  form.reset();
  form.querySelector(".st-conflict").hidden = true;
  form.elements.note.focus();
}

/* Typed text is not thrown away by a link that leads to another list. */
addEventListener("beforeunload", (event) => {
  if (typedIn(document).length && !isSaving) event.preventDefault();
});

/* A form of a whole page leaves it when it is sent. */
let isSaving = false;
document.addEventListener("submit", ({ target }) => (isSaving = target.matches(".st-new")));
addEventListener("pageshow", () => (isSaving = false));
document.querySelector(".st-new [aria-invalid=true]")?.focus();

/* The fields that say something else than the server, and refused forms, which come back with what was typed as values. */
function typedIn(place) {
  const fields = place.querySelectorAll(":is(.st-edit, .st-drawer, .st-ack, .st-new) :is(input:not([type=checkbox]), textarea)");
  const refused = place.querySelectorAll(":is(.st-drawer [data-st-unsaved], .st-new[data-st-unsaved])");
  return [...[...fields].filter(isTyped), ...refused];
}

/* What was sent is not thrown away. */
const mayDiscard = () => typedIn(drawer).every((each) => each.closest("[data-st-sent]")) || confirm(words.discard);

/* ---------- search ---------- */

/* Lists what the field says, and puts it into the address, where links to another order or label take it from. */
function search(field) {
  clearTimeout(field.stTyping);
  const searched = (address) => {
    const url = new URL(address, location);
    url.searchParams.delete("p");
    url.searchParams.set("q", field.value);
    if (!field.value) url.searchParams.delete("q");
    return url.href;
  };
  history.replaceState(null, "", searched(location));
  page.dataset.poll = searched(page.dataset.poll);
  for (const link of page.querySelectorAll(".st-table :is(thead a, .st-label)")) link.href = searched(link.href);
  version = "";
  abort(page);
  refreshList().then(schedule);
}

const searchField = () => document.querySelector("[data-poll] .st-search input");

function clearSearch() {
  searchField().value = "";
  searchField().focus();
  search(searchField());
}

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

function flagError(form) {
  const error = form.querySelector(".st-error");
  const wrong = error.hidden ? "" : (error.dataset.field ?? fieldOf(form).name);
  for (const field of form.querySelectorAll(".st-fields input")) field.ariaInvalid = field.name === wrong;
}

async function preview(form) {
  const named = form.form?.querySelectorAll("#st-name, #st-task") ?? []; // of a new task
  const fields = [...form.querySelectorAll(".st-fields [name]"), ...named].map((field) => [field.name, field.value]);
  await ask("GET", `${form.dataset.preview}?${new URLSearchParams(fields)}`, form.querySelector(".st-preview"));
  flagError(form);
  const taken = document.getElementById("st-error-name");
  if (taken) document.getElementById("st-name").ariaInvalid = !taken.hidden;
}

document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-st-instead]")) target.form.elements[target.dataset.stInstead].value = "";
  if (target.matches(".st-scope .st-fields [name]")) target.form.elements.scope.value = "filter";
  const ofNew = target.matches("#st-name, #st-task") && target.form.querySelector(".st-editor"); // its spread goes by it
  const form = target.closest(".st-editor") ?? ofNew;
  const [place, answer] = target === searchField() ? [target, search] : [form, preview];
  clearTimeout(place?.stTyping);
  if (place) place.stTyping = setTimeout(answer, TYPING, place);
});

/* The fields for the arguments of the chosen Celery task, or with a button the other form of them. */
async function askArguments(form, asked) {
  const body = new URLSearchParams(new FormData(form));
  body.append(asked, "1");
  const place = form.querySelector("#st-arguments");
  await ask("POST", location.href, place, { body });
  form.setAttribute("data-st-unsaved", "");
}

document.addEventListener("change", ({ target }) => target.matches(".st-new #st-task") && askArguments(target.form, "choose"));

function fillIn(preset) {
  const editor = preset.closest(".st-editor");
  const filled = preset.href ? new URL(preset.href).search : preset.value;
  for (const [name, value] of new URLSearchParams(filled)) editor.elements[name].value = value;
  fieldOf(editor).focus();
  preview(editor);
}

/* ---------- drawer ---------- */

/* The task in the drawer is in the page's address: "#task=12", or "#task=12&run=345" for one that opens at a run. */
let shown = "";
let leaving; // while the browser goes back to the address without it

function addressOf(hash) {
  const [, task, run] = /^#task=(\d+)(?:&run=(\d+))?$/.exec(hash) ?? [];
  return task && page.dataset.tasks && `${page.dataset.tasks}${task}/change/${run ? `?run=${run}#st-run-${run}` : ""}`;
}

function hashOf({ pathname, searchParams }) {
  const [, task] = /^(\d+)\/change\/$/.exec(pathname.replace(page.dataset.tasks, "")) ?? [];
  const run = searchParams.get("run");
  return task ? `#task=${task}${run ? `&run=${run}` : ""}` : "";
}

/* Back closes the drawer and Forward opens it, as do a reload and the address in another browser. */
async function followAddress() {
  const { hash } = location;
  if (hash === shown) return;
  if (shown && !mayDiscard()) return history.pushState({ stDrawer: true }, "", shown);
  const url = addressOf(hash);
  if (!url) return shown && drawer.close();
  shown = hash;
  await showInDrawer(new URL(url, location));
}

addEventListener("popstate", followAddress);

/* Leaves the history as it was before the drawer opened. */
function leaveAddress() {
  const isStill = shown && location.hash === shown;
  shown = "";
  if (!isStill) return;
  if (!history.state?.stDrawer) return history.replaceState(null, "", location.pathname + location.search);
  leaving = new Promise((left) => addEventListener("popstate", left, { once: true }));
  history.back();
}

function closeDrawer() {
  if (mayDiscard()) drawer.close();
}

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
  const url = new URL(run ? `?run=${run}#st-run-${run}` : link.href, link.href);
  await leaving;
  shown = hashOf(url);
  if (shown) history.pushState({ stDrawer: true }, "", shown);
  await showInDrawer(url);
}

async function showInDrawer(url) {
  if (!drawer.open) drawer.showModal();
  arrangeToasts();
  const answer = await visit(url.href);
  if (answer && !drawerBody.childElementCount) drawer.close();
  showRun(url);
  fieldOfForm()?.focus();
  schedule();
}

/* The run whose bar was clicked. A bar is 4 pixels wide, the newest is at the end. */
function runAt(strip, event) {
  const fromEnd = Math.floor((strip.querySelector("svg").getBoundingClientRect().right - event.clientX) / 4);
  return event.clientX && strip.dataset.runs.split(" ").at(-1 - fromEnd);
}

/* What each bar is, is asked for when the pointer stays. */
page.addEventListener("pointerover", ({ target }) => {
  const strip = target.closest(".st-strip");
  if (strip && !strip.nextElementSibling) setTimeout(tellBars, TYPING / 2, strip);
});

function tellBars(strip) {
  if (strip.matches(":hover") && !underWay.has(strip)) ask("GET", strip.href.replace(/change\/$/, "bars/"), strip, { quiet: true });
}

const showRun = ({ hash }) => hash && drawerBody.querySelector(hash)?.scrollIntoView();

const fieldOfForm = () => drawerBody.querySelector(".st-form :is(textarea, select, input:not([type=hidden]), [autofocus])");

/* Between a task and one of its forms the focus goes to the first field, and back to the link. */
let opener = "";

async function turnPage(link) {
  const wasForm = fieldOfForm() !== null;
  const menu = link.closest?.(".st-menu");
  if (menu) closeMenu(menu);
  if (!wasForm) opener = (menu?.querySelector("summary") ?? link).id;
  await visit(link.href);
  drawer.scrollTop = 0;
  showRun(link);
  (wasForm ? document.getElementById(opener) : fieldOfForm())?.focus();
}

/* The editor is in the task's row. Where the page has no such row, it has a page of its own. */
async function editSchedule(link) {
  if (!mayDiscard()) return;
  const closed = new Promise((done) => drawer.addEventListener("close", done, { once: true }));
  drawer.close();
  await closed;
  await leaving;
  const pencil = document.getElementById(link.dataset.stPencil);
  if (pencil) openEditor(pencil);
  else location.assign(link.href);
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
  leaveAddress();
  abort(drawer);
  abort(drawerBody);
  drawerBody.replaceChildren();
  arrangeToasts();
  schedule();
  if (document.activeElement === document.body && heir?.isConnected) focusOn(heir);
  heir = undefined;
});
drawer.addEventListener("mousedown", (event) => {
  if (event.target !== drawer) return;
  event.preventDefault(); // which would take the focus from where the dialog puts it
  closeDrawer();
});
/* A gesture of a phone. A key comes as keydown first, which can be refused more than once. */
drawer.addEventListener("cancel", (event) => mayDiscard() || event.preventDefault());

/* ---------- timeline ---------- */

const REACH = 8; // pixels beside a mark that still point at it

/* The marks of a lane from left to right, each with its place. */
const marksOf = (lane) =>
  [...lane.querySelectorAll(".st-tl-marks :is(a, g > path)")]
    .map((mark) => ({ mark, ...mark.getBoundingClientRect().toJSON() }))
    .sort((one, other) => one.left - other.left);

/* The mark next to the pointer, the topmost first: a narrow one lies on a wide one. */
function markAt(lane, x) {
  const near = marksOf(lane).map((place) => ({ ...place, far: Math.max(place.left - x, x - place.right, 0) }));
  const order = (one, other) => one.far - other.far || one.width - other.width;
  return near.filter(({ far }) => far <= REACH).sort(order)[0]?.mark;
}

function tellMark(mark, x) {
  const tip = document.getElementById("st-tl-tip");
  for (const told of page.querySelectorAll(".st-tl-marks .is-told")) if (told !== mark) told.classList.remove("is-told");
  if (!tip) return;
  tip.hidden = !mark;
  if (!mark) return;
  const title = mark.querySelector("title");
  if (title) set(mark, "aria-label", title.textContent); // in place of the browser's own tip
  title?.remove();
  mark.classList.add("is-told");
  write(tip, mark.getAttribute("aria-label"));
  const { left, width, top } = mark.getBoundingClientRect();
  const half = tip.offsetWidth / 2 + 4;
  tip.style.left = `${Math.min(Math.max(x ?? left + width / 2, half), innerWidth - half) - half + 4}px`;
  tip.style.top = `${top - tip.offsetHeight - 4}px`;
}

page.addEventListener("pointermove", ({ target, clientX }) => {
  const lane = target.closest("td.st-tl-lane");
  tellMark(lane && markAt(lane, clientX), clientX);
});
page.addEventListener("pointerleave", () => tellMark());
page.addEventListener("focusin", ({ target }) => tellMark(target.closest(".st-tl-marks :is(a, g > path)")));
document.addEventListener("scroll", () => tellMark(), { passive: true, capture: true });

/* From the name of a task to its last run and its next one, and on from there. */
function stepMark(lane, from, step) {
  const marks = marksOf(lane).map(({ mark }) => mark);
  const coming = marks.findIndex((mark) => !mark.matches("a"));
  const last = (coming < 0 ? marks.length : coming) - 1;
  const at = marks.indexOf(from);
  const next = marks[at >= 0 ? at + step : step > 0 ? last + 1 : last];
  next?.setAttribute("tabindex", "-1");
  next?.focus();
}

/* A box that is narrower than its lanes begins in the middle of the time, not at its start. The names, which stay
   at one side, cover what is below them. */
function showNow() {
  const middle = (element) => element.getBoundingClientRect().left + element.getBoundingClientRect().width / 2;
  const box = page.querySelector(".st-tl-box");
  const here = box?.querySelector(".st-tl-is-now");
  if (!here) return;
  const names = box.querySelector(".st-tl-name");
  const covered = names.offsetWidth * Math.sign(middle(box) - middle(names));
  box.scrollLeft += middle(here) - middle(box) - covered / 2;
}

function openMark(lane, { clientX, target }) {
  const mark = target.closest(".st-tl-marks a") ?? markAt(lane, clientX);
  if (!mark?.matches("a")) return;
  const link = Object.assign(document.createElement("a"), { href: mark.href.baseVal });
  const run = new URL(link.href).searchParams.get("run");
  if (run) link.hash = `st-run-${run}`;
  openDrawer(link);
}

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
  "[data-st-clear]": clearSearch,
  "[data-st-close]": (button) => button.closest(".st-toast").remove(),
  "a[data-st-close-drawer]": () => mayDiscard() && leaveForm(addressOf(shown)),
  "[data-st-close-drawer]": closeDrawer,
  ".st-edit [data-st-cancel]": (button) => closeEditor(button.closest(".st-edit")),
  "#st-drawer [data-st-pencil]": editSchedule,
  "[data-st-edit][aria-expanded=true]": (pencil) => closeEditor(editorOf(pencil)),
  "[data-st-edit]": (pencil) => openEditor(pencil),
  "[data-st-tag]": toggleTag,
  ".st-presets :is(a, button)": fillIn,
  ".st-new [data-st-switch]": (button) => askArguments(button.form, button.name),
  "[data-st-copy]": copy,
  "[data-st-keep]": keepTheirs,
  "[data-st-pause]": togglePause,
  "[data-st-run]": toggleRun,
  "td.st-tl-lane": openMark,
  "#st-drawer :is([data-st-page], .st-menu [data-st-drawer])": turnPage,
  "[data-st-drawer]": openDrawer,
};

/* Adds a tag in use to those that are typed, or takes it away. */
function toggleTag(button) {
  const field = document.getElementById(button.dataset.stTag);
  const typed = field.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  const others = typed.filter((tag) => tag !== button.textContent);
  field.value = (others.length < typed.length ? others : [...typed, button.textContent]).join(", ");
  field.focus();
}

/* Who keeps theirs has read the message, too. */
function closeConflict(conflict) {
  const text = conflict?.querySelector("p").textContent;
  for (const box of toasts.children) if (box.querySelector("p").textContent === text) box.remove();
}

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  for (const menu of document.querySelectorAll(".st-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const selector = Object.keys(actions).find((each) => event.target.closest(each));
  if (!selector) return;
  event.preventDefault();
  if (event.target.closest("a")) closeConflict(event.target.closest(".st-conflict"));
  actions[selector](event.target.closest(selector), event);
});

/* The second half of a double click meets another button of an incident, which has come to its place. */
let press = { x: 0, y: 0, at: 0 };
addEventListener("click", (event) => {
  const { clientX: x, clientY: y, timeStamp: at, detail } = event;
  const isSecond = detail && at - press.at < 700 && Math.hypot(x - press.x, y - press.y) < 5;
  if (isSecond && event.target.closest(".st-ack button")) event.preventDefault();
  press = { x, y, at };
}, true);

/* As the keys of any menu: arrows go round, Tab leaves it. */
function moveInMenu(event, menu) {
  const items = [...menu.querySelectorAll("a, button")];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Tab") menu.open = false;
  if (next === undefined) return;
  event.preventDefault();
  items.at(next % items.length).focus();
}

function closeMenu(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

async function copy(button) {
  const text = button.closest(".st-block, .st-remedy, figure").querySelector("pre, code");
  if (navigator.clipboard) await navigator.clipboard.writeText(text.textContent);
  else copySelected(text); // the page was not loaded by HTTPS
  toast(words.copied, false);
}

function copySelected(node) {
  getSelection().selectAllChildren(node);
  document.execCommand("copy");
  getSelection().removeAllRanges();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const editor = event.target.closest(".st-edit");
    const menu = (drawer.open ? drawer : page).querySelector(".st-menu[open]");
    page.classList.add("is-quiet"); // hides a tip until the pointer or the focus moves on
    if (drawer.open) event.preventDefault(); // which would close it
    if (menu && (drawer.open || !editor)) closeMenu(menu);
    else if (drawer.open) closeDrawer();
    else if (editor) closeEditor(editor);
  }
  const menu = event.target.closest(".st-menu[open]");
  if (menu) moveInMenu(event, menu);
  if (event.key === " " && event.target.matches(":is(.st, .st-drawer, .st-toasts) a[role=button]")) {
    event.preventDefault(); // a link scrolls the page instead
    event.target.click();
  }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const days = step && event.target.closest(".st-heat-days");
  if (days) {
    const links = [...days.querySelectorAll("a")];
    links[links.indexOf(event.target) + step]?.focus();
  }
  if (drawer.open || event.target.closest("input, select, textarea")) return;
  const lane = step && event.target.closest(".st-tl tbody tr");
  if (lane) {
    event.preventDefault(); // which scrolls the box
    stepMark(lane, event.target, step);
  }
  if (event.key === "?") page.querySelector("#st-words")?.click();
  const field = page.querySelector(".st-search input");
  if (event.key === "/" && field) {
    field.focus();
    event.preventDefault();
  }
});

for (const moved of ["pointerout", "focusin"]) page.addEventListener(moved, () => page.classList.remove("is-quiet"));

/* ---------- start ---------- */

showNow();
page.querySelector(".st-new [aria-invalid=true]")?.focus();
tell();
setInterval(tellTime, 1000);
schedule();
followAddress();
