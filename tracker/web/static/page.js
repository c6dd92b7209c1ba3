// The page's only script. It writes by the public API, and reads the page anew after each write:
// so the server alone writes HTML. Nothing here parses HTML or runs text (see the policy).
"use strict";

const root = document.documentElement.dataset.root;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const plural = (number, noun = "task") => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const REPEATS = 4; // requests at a time
const LIST_AGE = 60000; // milliseconds after which a list is read anew
const ENTER_PAUSE = 500; // milliseconds after which a second Enter is meant for another place
const DOUBLE_CLICK = { pause: 400, distance: 10 }; // at most; milliseconds and pixels
const UNDO_MAX = 500; // tasks of which all earlier values are kept
const WRITABLE = ["title", "description", "status", "priority", "tags", "due_date", "repository", "issue"];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The server says "today" and "late" by the day that it is here.
function tellClock() {
  const offset = -new Date().getTimezoneOffset();
  document.cookie = `offset=${offset}; Path=/; Max-Age=31536000; SameSite=Lax`;
  return new Date(Date.now() + offset * 60000).toISOString().slice(0, 10) === document.documentElement.dataset.today;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// --- Requests

class Failure extends Error {
  constructor(message, status = 0, data = {}) {
    super(message);
    Object.assign(this, { status, data });
  }
}

async function api(method, path, { body, file, version, key } = {}) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (file) headers["Content-Type"] = "application/octet-stream";
  if (version) headers["If-Match"] = `"${version}"`;
  if (key) headers["Idempotency-Key"] = key;
  let response;
  try {
    response = await fetch(root + path, { method, headers, body: file || (body && JSON.stringify(body)) });
  } catch {
    throw new Failure("The service can't be reached. Nothing that you typed is lost; try again.");
  }
  let data = {};
  try {
    data = response.status === 204 ? {} : await response.json();
  } catch {
    throw new Failure(`The response (${response.status}) was cut off; try again.`);
  }
  if (response.ok) return Array.isArray(data) ? Object.assign(data, { link: response.headers.get("Link") }) : data;
  data.wait = response.headers.get("Retry-After");
  const parts = Object.values(data.errors || {}).flatMap((fields) =>
    typeof fields === "object" ? Object.entries(fields).map(([name, texts]) => `${name}: ${texts}`) : []);
  const detail = data.reason === "invalid" && parts.length ? parts.join("; ") : data.message;
  throw new Failure(detail || `The request failed (${response.status}).`, response.status, data);
}

// A document of our own pages; unlike DOMParser, this runs and fetches nothing of it.
function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.setRequestHeader("Accept", "text/html");
    request.responseType = "document";
    request.onload = () => {
      const message = request.response && $(".failure", request.response);
      const login = request.status === 401 || (request.response && $("main.login", request.response));
      if (login) reject(new Failure("The page can't be loaded; log in again.", 401));
      else if (request.status < 400 && request.response) resolve(request.response);
      else reject(new Failure(message ? message.textContent : `The page can't be loaded (${request.status}); try again.`, request.status));
    };
    request.onerror = () => reject(new Failure("The service can't be reached; this list may be old."));
    request.send();
  });
}

async function each(items, work) {
  const results = [];
  const waiting = [...items.entries()];
  const next = async () => {
    for (let found = waiting.shift(); found; found = waiting.shift()) {
      const [index, item] = found;
      try {
        results[index] = { value: await work(item) };
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        results[index] = { failure };
      }
    }
  };
  await Promise.all(Array.from({ length: REPEATS }, next));
  return results;
}

const pick = (results, name) => results.flatMap((result) => result[name] ?? []);

const running = new Set(); // forms, statuses of tasks, and "undo"

// Runs the work for those that are not running, so that a second click makes no second change.
async function alone(things, work, keyOf = (thing) => thing) {
  const free = things.filter((thing) => !running.has(keyOf(thing)));
  if (!free.length) return undefined;
  for (const thing of free) running.add(keyOf(thing));
  try {
    return await work(free);
  } finally {
    for (const thing of free) running.delete(keyOf(thing));
  }
}

// --- What is said, and undone

const undone = [];
const OLD = " The page can't be read anew, so it may be old.";

function say(text, { undo, failed, link } = {}) {
  const toast = clearToast();
  toast.append(element("span", { textContent: text, className: failed ? "failed" : "" }));
  if (undo) {
    undone.push(undo);
    toast.append(element("button", { textContent: "Undo", onclick: undoLast }));
  }
  if (link) toast.append(element("a", { textContent: link[0], href: link[1] }));
  toast.append(element("button", { textContent: "×", ariaLabel: "Close", onclick: () => settle(clearToast()) }));
  settle();
}

// Removes what was said, but for a refresh that runs.
function clearToast() {
  const toast = $("#toast");
  for (const child of [...toast.children]) if (child !== progress) child.remove();
  return toast;
}

// Moves the focus to the current row where its element is gone.
function settle() {
  const active = document.activeElement;
  if (active && active !== document.body && !active.closest("dialog:not([open])")) return;
  const row = rows().find((found) => idOf(found) === current);
  (row ? $(".title", row) : $("#main")).focus({ preventScroll: true });
}

// Whether the focus is in none of these places: then a late response leaves it where it is.
function focusIsElsewhere(...places) {
  const active = document.activeElement;
  return Boolean(active) && active !== document.body && !places.some((place) => place !== document.body && place.contains(active));
}

function fail(failure) {
  if (!(failure instanceof Failure)) throw failure;
  say(failure.message, { failed: true, link: loginFor([failure]) });
}

function loginFor(failures) {
  return failures.some((failure) => failure.status === 401)
    ? ["Log in", `${root}/web/login?next=${encodeURIComponent(location.pathname + location.search)}`] : undefined;
}

// Says so beside what was done, whose Undo stays.
function mayBeOld(failure) {
  const said = $("#toast > span");
  if (!said || failure.status === 401) return fail(failure);
  said.textContent = `${said.textContent.replace(OLD, "")}${OLD}`;
  return undefined;
}

async function undoLast() {
  if (running.has("undo")) return undefined;
  const undo = undone.pop();
  if (!undo) return say("There is nothing to undo.");
  running.add("undo");
  try {
    say(await undo());
  } catch (failure) {
    fail(failure);
    if (!failure.status || failure.status === 401 || failure.status >= 500) return void undone.push(undo); // it may work later
  } finally {
    running.delete("undo");
  }
  return renew();
}

// --- The list

const rows = () => $$("#list .row");
const idOf = (row) => row.id.slice(1);
let everyMatch = false; // whether all tasks that match are selected, beyond this page
let read = Date.now(); // when the list was read
let current = null; // id of the row that the keys are about

let renewals = 0; // how many were begun
let latestShown = 0; // an earlier one that comes later is older

// Reads the page anew, and keeps the focus, the selection and what is being edited.
async function renew() {
  const number = ++renewals;
  let fresh;
  try {
    fresh = await load(location.href);
  } catch (failure) {
    return number < latestShown ? undefined : mayBeOld(failure);
  }
  if (number < latestShown) return undefined;
  latestShown = number;
  const selected = new Set($$(".row > input:checked").map((box) => box.id));
  const editors = $$(".editor").map((editor) => [editor.closest(".row").id, editor, editor.closest(".row")]);
  const active = document.activeElement;
  const typed = $$("main.task > #edit").find((form) => Object.keys(changesOf(form)).length);
  const place = $("#content") ? "#content" : "main";
  const open = $(".delete[open]");
  const link = $$("nav a").indexOf(active); // these have no id
  const inside = active && (link >= 0 || $(place).contains(active));
  const position = rows().findIndex((row) => row.contains(active) || idOf(row) === current);
  for (const part of [place, ".views", "header nav"]) {
    const found = $(part, fresh);
    if (found && $(part)) $(part).replaceWith(document.adoptNode(found));
  }
  document.title = fresh.title;
  document.documentElement.dataset.today = fresh.documentElement.dataset.today;
  read = Date.now();
  if (open && $(".delete")) $(".delete").open = true;
  for (const box of $$(".row > input")) box.checked = selected.has(box.id);
  for (const [id, editor, row] of editors) {
    const shown = document.getElementById(id);
    if (shown) shown.append(editor);
    else if (Object.keys(changesOf($("form", editor))).length) $("#content").prepend(row); // it keeps what was typed
  }
  if (typed) $("#edit").replaceWith(typed);
  prepareTask();
  prepareList();
  const same = active && (document.getElementById(active.id) || $$("nav a")[link]);
  const still = { preventScroll: true };
  if (inside && active.isConnected) active.focus(still);
  else if (inside && same) same.focus(still);
  else if (inside || (document.activeElement === document.body && !rows().some((row) => idOf(row) === current))) {
    const near = rows()[Math.min(Math.max(position, 0), rows().length - 1)];
    if (position >= 0 && near) stand(near);
    else if (inside) $("#main").focus(still); // not a field: a key such as u would be typed there
  }
  markCurrent();
}

function stand(row) {
  current = idOf(row);
  $(".title", row).focus({ preventScroll: true });
  markCurrent();
}

function show(row) {
  stand(row);
  row.scrollIntoView({ block: "nearest" });
}

function markCurrent() {
  for (const row of rows()) row.classList.toggle("at", idOf(row) === current);
}

function prepareList() {
  prepareRepositories();
  const bulk = $("#bulk");
  if (!bulk) return;
  bulk.classList.add("stuck");
  const button = (text, onclick) => element("button", { type: "button", textContent: text, onclick });
  bulk.append(button("Tag…", tagSelected), button("Due…", dateSelected), button("Refresh", () => refreshOnce(refreshSelected)),
    button("Delete", deleteSelected));
  const all = button(`Select all ${plural(total())} that match`, () => {
    everyMatch = true;
    showSelection();
  });
  all.id = "every";
  bulk.append(all);
  everyMatch = false;
  showSelection();
}

// The filters of the list; those of all tasks, because a change of many needs one.
const matching = () => $("#content").dataset.query || "status=open&status=in_progress&status=done";
const total = () => Number($("#content").dataset.total);
const selectedRows = () => rows().filter((row) => $("input", row).checked);

function showSelection() {
  const bulk = $("#bulk");
  if (!bulk) return;
  const chosen = selectedRows();
  bulk.hidden = !chosen.length;
  $("#selected").textContent = everyMatch ? `All ${plural(total())} that match:` : `${chosen.length} selected:`;
  $("#every").hidden = everyMatch || chosen.length < rows().length || total() <= rows().length;
}

// --- Changes

// Changes tasks one by one, each only if it is still at the version that is shown.
async function change(targets, fieldsOf, done) {
  const results = await each(targets, async ([id, version]) => {
    const before = await api("GET", `/tasks/${id}`);
    const fields = fieldsOf(before);
    const after = await api("PATCH", `/tasks/${id}`, { body: fields, version });
    return { before, after, fields };
  });
  const changed = pick(results, "value");
  const failures = pick(results, "failure");
  // The next change may come before the list is read anew.
  for (const { after: { id, version } } of changed) {
    for (const field of $$(`:is([name=task], [name=done], [name=reopen])[value^="${id}."]`)) field.value = `${id}.${version}`;
  }
  const undoOne = ({ before, after, fields }) => api("PATCH", `/tasks/${after.id}`, {
    body: Object.fromEntries(Object.keys(fields).map((name) => [name, before[name]])), version: after.version,
  });
  const undo = changed.length && undoAll(changed, (items) => each(items, undoOne));
  report(`${plural(changed.length)} ${done}.`, changed.length, failures, undo);
  await renew();
}

// Returns an undo that, tried again, repeats only what failed; the work returns the results of all.
function undoAll(items, work) {
  let remaining = items;
  return async () => {
    const results = await work(remaining);
    remaining = remaining.filter((_, n) => results[n].failure);
    return undoneText(results);
  };
}

function undoneText(results) {
  const failures = pick(results, "failure");
  if (failures.length) throw new Failure(`${plural(failures.length)} not undone: ${failures[0].message}`, failures[0].status);
  return `Undone: ${plural(results.length)}.`;
}

function report(text, count, failures, undo) {
  if (!failures.length) return say(text, { undo });
  const reasons = [...new Set(failures.map((failure) => failure.message))].join(" ");
  say(`${count ? `${text} ` : ""}${plural(failures.length)} failed: ${reasons}`, { undo, failed: true, link: loginFor(failures) });
}

const targetsOf = (list) => list.map((row) => $("input", row).value.split("."));

// The same for all that match, in one request; its number is said twice, and has to be true.
async function changeAll({ question, action, method, body, done, differs, fieldsOf }) {
  const number = total();
  const undoable = number <= UNDO_MAX;
  const text = `This is about every task that matches, on other pages too.${undoable ? "" : " It can't be undone."}`;
  if ((await ask({ title: `${question} ${plural(number)}?`, text, action: `${action} ${plural(number)}` })) === null) return;
  const filters = matching();
  const before = [];
  if (undoable) for await (const page of pages(`/tasks?${filters}&limit=100`)) before.push(...page);
  const { changed } = await api(method, `/tasks?${filters}&expect=${number}`, { body });
  const undoOne = (task) => api("PATCH", `/tasks/${task.id}`, {
    body: Object.fromEntries(Object.keys(fieldsOf(task)).map((name) => [name, task[name]])), version: task.version + 1,
  });
  const undo = undoable && (method === "DELETE" ? undoAll(before, restoreAll)
    : undoAll(before.filter(differs), (items) => each(items, undoOne)));
  say(`${plural(changed)} ${done}.`, { undo });
  await renew();
}

// `every` is read before a dialog opens, because a renewal meanwhile ends the selection of all that match.
function setSelected(every, fieldsOf, body, words, differs) {
  if (every) return changeAll({ ...words, method: "PATCH", body, differs, fieldsOf }).catch(fail);
  return change(targetsOf(selectedRows()), fieldsOf, words.done);
}

function setStatus(targets, status) {
  const work = (free) => change(free, () => ({ status }), status === "done" ? "done" : "reopened");
  return alone(targets, work, ([id]) => `${id} ${status}`);
}

function statusSelected(status) {
  if (!everyMatch) return setStatus(targetsOf(selectedRows()), status);
  const words = status === "done" ? { question: "Mark as done:", action: "Mark done:", done: "done" }
    : { question: "Reopen", action: "Reopen", done: "reopened" };
  return setSelected(true, () => ({ status }), { status }, words, (task) => task.status !== status);
}

async function tagSelected() {
  const every = everyMatch;
  const typed = await ask({ title: "Tags", text: "With commas between them; a minus before a tag removes it.", label: "Tags", action: "Change tags" });
  const tags = (typed || "").split(",").map((tag) => tag.trim()).filter(Boolean);
  const removed = tags.filter((tag) => tag.startsWith("-")).map((tag) => tag.slice(1).trim());
  const added = tags.filter((tag) => !tag.startsWith("-"));
  if (!tags.length) return;
  const gone = new Set(removed.map((tag) => tag.toLowerCase()));
  const fieldsOf = (task) => ({ tags: [...task.tags.filter((tag) => !gone.has(tag.toLowerCase())), ...added] });
  const body = { ...(added.length && { add_tags: added }), ...(removed.length && { remove_tags: removed }) };
  const lower = (task) => task.tags.map((tag) => tag.toLowerCase());
  const differs = (task) => added.some((tag) => !lower(task).includes(tag.toLowerCase())) || lower(task).some((tag) => gone.has(tag));
  await setSelected(every, fieldsOf, body, { question: "Change the tags of", action: "Change", done: "tagged" }, differs);
}

async function dateSelected() {
  const every = everyMatch;
  const typed = await ask({ title: "Due", text: "Without a date they are not due at all.", label: "Due", type: "date", action: "Set date" });
  if (typed === null) return;
  const fields = { due_date: typed || null };
  const words = { question: "Set the due date of", action: "Set", done: typed ? `due ${typed}` : "without a due date" };
  await setSelected(every, () => fields, fields, words, (task) => task.due_date !== fields.due_date);
}

const keys = new WeakMap();

const writable = (task) => Object.fromEntries(WRITABLE.map((name) => [name, task[name]]));

function restore(task) {
  if (!keys.has(task)) keys.set(task, newKey()); // an undo that is tried again makes each task once
  return api("POST", "/tasks?metadata=optional", { body: writable(task), key: keys.get(task) });
}

// Creates deleted tasks again. Those whose repository is gone are imported: an import does not ask GitHub.
async function restoreAll(tasks) {
  const results = await each(tasks, restore);
  const gone = tasks.filter((_, n) => results[n].failure?.data.reason === "repository_not_found");
  if (!gone.length) return results;
  const file = new Blob(gone.map((task) => `${JSON.stringify(writable(task))}\n`));
  const [imported] = await each([file], () => api("POST", "/tasks/import?format=jsonl", { file }));
  return results.map((result, n) => (gone.includes(tasks[n]) ? imported : result));
}

async function deleteSelected() {
  if (everyMatch) return changeAll({ question: "Delete", action: "Delete", method: "DELETE", done: "deleted" }).catch(fail);
  const chosen = targetsOf(selectedRows());
  const number = plural(chosen.length);
  if ((await ask({ title: `Delete ${number}?`, text: "", action: `Delete ${number}` })) === null) return;
  const results = await each(chosen, async ([id, version]) => {
    const before = await api("GET", `/tasks/${id}`);
    await api("DELETE", `/tasks/${id}`, { version });
    return before;
  });
  const deleted = pick(results, "value");
  reportDeleted(deleted, pick(results, "failure"));
  await renew();
}

function reportDeleted(tasks, failures) {
  const undoDeletion = undoAll(tasks, restoreAll);
  const undo = tasks.length && (async () => `${await undoDeletion()} They have new numbers.`);
  report(`${plural(tasks.length)} deleted.`, tasks.length, failures, undo);
}

// Deletes the task of this page; the list comes next, and can undo it.
async function deleteTask(form) {
  const path = `/tasks/${form.getAttribute("action").split("/").at(-2)}`;
  const task = await api("GET", path);
  await api("DELETE", path, { version: form.elements.version.value });
  sessionStorage.setItem("deleted", JSON.stringify(task));
  location.assign(`${root}/`);
}

async function refreshSelected() {
  const names = new Set(selectedRows().map((row) => $(".name", row).textContent));
  if (everyMatch) for await (const page of pages(`/tasks?${matching()}&limit=100`)) for (const { repository } of page) names.add(repository);
  return refresh([...names]);
}

let progress = null; // of the refresh that runs

// Runs one refresh at a time, so that a double click asks GitHub once.
function refreshOnce(work, ...given) {
  if (progress) return say("A refresh is running. Wait for its end, or stop it.");
  return alone(["refresh"], () => work(...given)).catch(fail);
}

// Refreshes repositories one at a time, as GitHub asks of bulk work. At a limit it says when that ends, and waits.
async function refresh(names) {
  let stopped = false;
  const failures = [];
  const bar = element("progress", { max: names.length, value: 0, ariaLabel: "Refreshed repositories" });
  const status = element("span");
  let count = 0;
  progress = element("div", {}, status, bar, element("button", { textContent: "Stop", onclick: () => { stopped = true; } }));
  $("#toast").replaceChildren(progress);
  for (const name of names) {
    if (bar.value) await pause(250);
    for (let again = true; again && !stopped;) {
      again = false;
      status.textContent = `Refreshing ${bar.value + 1} of ${names.length}: ${name} …`;
      try {
        await api("POST", `/repositories/${name}/refresh`);
        count += 1;
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        const end = failure.status === 503 && failure.data.wait && Date.now() + failure.data.wait * 1000;
        if (end && names.length > 1) {
          status.textContent = `${failure.message} It goes on at ${clock(end)}.`;
          while (!stopped && Date.now() < end) await pause(100);
          again = true;
        } else failures.push(`${name}: ${failure.message}${end ? ` Try again at ${clock(end)}.` : ""}`);
      }
    }
    if (stopped) break;
    bar.value += 1;
  }
  progress.remove();
  progress = null;
  say([count || !failures.length ? `Refreshed ${count} of ${names.length} from GitHub.` : "", ...failures].join(" "), { failed: failures.length > 0 });
  return renew();
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Refreshes every repository whose metadata are old, after the budget was shown.
async function refreshOld(button) {
  const old = new Set();
  for (const filter of [`fetched_before=${button.dataset.before}`, "metadata_status=pending"]) {
    for await (const page of pages(`/repositories?${filter}&limit=100`)) for (const { name } of page) old.add(name);
  }
  if (!old.size) return say("No metadata are old.");
  const budget = await api("GET", "/rate-limit?ask=true").catch(() => null);
  const text = budget ? `GitHub allows ${budget.remaining.toLocaleString("en")} more calls until ${clock(budget.resets_at)}; each repository takes one. At the limit it waits.`
    : "GitHub has not told its limit; if it is reached, the refresh waits.";
  const number = plural(old.size, "repositor").replace(/ors?$/, old.size === 1 ? "ory" : "ories");
  if ((await ask({ title: `Refresh ${number}?`, text, action: `Refresh ${number}` })) === null) return undefined;
  return refresh([...old]);
}

// Yields each page of a list of the API.
async function* pages(path) {
  while (path) {
    const page = await api("GET", path);
    yield page;
    const next = (page.link || "").split(",").find((link) => link.includes('rel="next"'));
    path = next && path.split("?")[0] + next.slice(next.indexOf("?"), next.indexOf(">"));
  }
}

function clock(time) {
  return new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function prepareRepositories() {
  const button = $("#refresh-old");
  if (!button) return;
  button.hidden = false;
  button.onclick = () => refreshOnce(refreshOld, button);
}

// --- Dialogs

function ask({ title, text, label, type = "text", action }) {
  const dialog = $("#dialog");
  const before = document.activeElement;
  const input = label && element("input", { type, id: "answer" });
  const form = element("form", { method: "dialog" },
    element("h1", { id: "dialog-title", textContent: title }),
    text ? element("p", { textContent: text }) : null,
    label ? element("p", {}, element("label", { htmlFor: "answer", textContent: label }), input) : null,
    element("p", { className: "buttons" }, element("button", { className: "main", value: "yes", textContent: action }),
      element("button", { type: "button", textContent: "Cancel", onclick: () => dialog.close("") })));
  dialog.replaceChildren(form);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (!focusIsElsewhere(dialog)) {
        if (before?.isConnected) before.focus();
        else settle(document.activeElement?.blur()); // a renewal has replaced it
      }
      resolve(dialog.returnValue === "yes" ? (input ? input.value : "") : null);
    }, { once: true });
  });
}

async function help() {
  const page = await load(`${root}/web/help`);
  const dialog = $("#dialog");
  if (dialog.open || document.activeElement?.matches(FIELDS)) return;
  dialog.replaceChildren(...$("main", page).childNodes);
  dialog.append(element("form", { method: "dialog" }, element("button", { textContent: "Close" })));
  $("h1", dialog).tabIndex = -1;
  $("h1", dialog).autofocus = true;
  prepareHelp();
  dialog.showModal();
}

function prepareHelp() {
  const box = $("#keys");
  if (!box) return;
  box.closest("p").hidden = false;
  box.checked = localStorage.getItem("keys") !== "off";
  box.onchange = () => localStorage.setItem("keys", box.checked ? "on" : "off");
}

// --- Adding

let sent = null; // the line that was sent last: its outcome is shown, not its preview

function prepareAdding() {
  const form = $("#add");
  if (!form) return;
  const input = $("#line");
  const preview = $("#preview");
  const known = new Map(); // what GitHub said, by the line's first word
  let timer;
  let latest = 0;

  const draft = sessionStorage.getItem("line");
  if (draft && !input.value) input.value = draft;
  // A line whose response was lost is sent again with its key, so that it creates one task.
  form.elements.key.value = sessionStorage.getItem("key") || form.elements.key.value;

  const look = async () => {
    const line = input.value;
    const number = ++latest;
    const word = line.trim().split(/\s+/)[0];
    if (!word) return preview.replaceChildren();
    if (line === sent) return undefined;
    // A name that is still being typed is no repository: GitHub is not asked for it.
    const whole = /^\s*\S+\s/.test(line) || /^https?:/.test(word) || document.activeElement !== input;
    const asks = whole && !known.has(word);
    const wanted = () => number === latest && line === input.value && line !== sent;
    try {
      const found = await api("GET", `/web/preview?${new URLSearchParams({ line, ask: asks })}`);
      if (asks && found.fields) known.set(word, found);
      if (wanted()) preview.replaceChildren(describe(found, known.get(word)));
    } catch (failure) {
      if (wanted()) preview.textContent = failure.message;
    }
  };

  input.addEventListener("input", () => {
    sessionStorage.setItem("line", input.value);
    clearTimeout(timer);
    timer = setTimeout(look, 250);
  });
  input.addEventListener("change", look);
  if (input.value && !preview.textContent.trim()) look();

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(form, event.submitter?.name === "metadata").catch(fail);
  });
}

function describe(found, known) {
  const facts = { ...known, ...found };
  const parts = [];
  if (found.repository) {
    const stars = known?.stars === undefined ? "" : ` ★ ${Intl.NumberFormat("en", { notation: "compact" }).format(known.stars).toLowerCase()}`;
    const { title, due_date: due, priority, tags } = found.fields;
    parts.push(`→ ${known?.repository || found.repository}${stars}`);
    if (known?.archived) parts.push("archived");
    parts.push(title);
    if (due) parts.push(`due ${new Date(`${due}T12:00`).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })}`);
    if (priority && priority !== "normal") parts.push(`${priority} priority`);
    if (tags) parts.push(tags.map((tag) => `+${tag}`).join(" "));
    if (known?.others) parts.push(`${plural(known.others, "other task")} on it`);
  }
  const text = parts.join(" · ");
  if (!facts.message) return text;
  return element("span", {}, text, text && " · ", element("span", { className: "failure", textContent: facts.message }));
}

async function add(form, optional) {
  const input = $("#line");
  const preview = $("#preview");
  const line = input.value;
  if (form.dataset.busy) {
    if (line !== sent && line.trim()) form.dataset.next = "yes";
    return undefined;
  }
  form.dataset.busy = "yes";
  delete form.dataset.next;
  try {
    sent = line;
    const parsed = await api("GET", `/web/preview?${new URLSearchParams({ line })}`);
    if (!parsed.fields) throw new Failure(parsed.message);
    sessionStorage.setItem("key", form.elements.key.value);
    const task = await api("POST", `/tasks${optional ? "?metadata=optional" : ""}`, { body: parsed.fields, key: form.elements.key.value });
    form.elements.key.value = newKey();
    sessionStorage.removeItem("key");
    sent = null;
    if (input.value === line) { // no other line was typed meanwhile
      input.value = "";
      sessionStorage.removeItem("line");
      preview.replaceChildren();
    }
    const address = new URL(location.href);
    address.searchParams.delete("add"); // else a reload offers it again
    history.replaceState(null, "", address);
    if (!focusIsElsewhere(form)) input.focus({ preventScroll: true });
    const undo = async () => {
      await api("DELETE", `/tasks/${task.id}`, { version: task.version });
      return `Undone: #${task.id} is deleted.`;
    };
    await renew();
    const here = document.getElementById(`t${task.id}`);
    say(here ? `Added #${task.id} on ${task.repository}.` : `Added #${task.id} on ${task.repository}; this list doesn't show it.`,
      { undo, link: here ? undefined : ["Show", `${root}/web/tasks/${task.id}`] });
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    const other = input.value !== line;
    if (other || failure.data.reason === "idempotency_key_reused") form.elements.key.value = newKey();
    if (other) return fail(new Failure(`Not added: ${line} (${failure.message})`, failure.status));
    preview.replaceChildren(element("span", { className: "failure", textContent: failure.message }), " ");
    if (failure.status >= 500 && failure.data.reason?.startsWith("github_")) {
      preview.append(element("button", { name: "metadata", value: "optional", textContent: "Save without metadata" }));
    }
    if (!focusIsElsewhere(form)) input.focus();
    if (failure.status === 401) fail(failure);
  } finally {
    delete form.dataset.busy;
  }
  return form.dataset.next && sent !== line ? add(form, false) : undefined;
}

// --- Import

function prepareImport() {
  const form = $("#import");
  if (!form) return;
  const outcome = $("#outcome");
  const button = $("button", form);
  const text = $("#import-text");
  const said = (result) => result.invalid.map(({ line, errors, text: bad }) => element("li", {},
    `Line ${line}: ${Object.values(errors).flat().join(" ")} `, element("bdi", { className: "faint", textContent: bad })));
  let changes = 0; // of the form: what is stored is what was checked
  const send = (dry, file) => alone([form], () => request(dry, file));
  const request = async (dry, file) => {
    const before = changes;
    button.disabled = true;
    try {
      const result = await api("POST", `/tasks/import?skip_invalid=true&dry_run=${dry}`, { file });
      if (dry && before !== changes) return;
      const unread = result.invalid.length + result.more_invalid.length;
      const without = unread ? ` Without ${plural(unread, "line")} that can't be read:` : "";
      if (dry) {
        const store = element("button", { type: "button", className: "main", textContent: `Import ${plural(result.created)}`, onclick: () => send(false, file) });
        outcome.replaceChildren(element("p", {}, `${plural(result.created)} can be imported.${without}`), element("ul", {}, ...said(result)), store);
        store.disabled = !result.created;
        if (!focusIsElsewhere(form)) store.focus();
      } else {
        if (before === changes) form.reset();
        outcome.replaceChildren(element("p", {}, `${plural(result.created)} imported. `,
          element("a", { href: `${root}/`, textContent: "Show them" }), ", or ",
          element("a", { href: `${root}/web/repositories?metadata_status=pending`, textContent: "fetch their metadata" }), " from GitHub."));
        $("a", outcome).focus();
      }
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      const unknown = !dry && !failure.status ? " It may be imported all the same: look at the list first." : "";
      outcome.replaceChildren(element("p", { className: "failure" }, failure.message + unknown), element("ul", {}, ...said({ invalid: [], ...failure.data })));
      if (failure.status === 401) fail(failure);
    } finally {
      button.disabled = false;
      if (!focusIsElsewhere()) button.focus();
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [file] = $("#import-file").files;
    if (file && text.value.trim()) outcome.textContent = "There are a file and a text. Remove one of them; the other is imported.";
    else if (file || text.value.trim()) send(true, file || new Blob([text.value]));
    else text.focus();
  });
  form.addEventListener("input", () => {
    changes += 1;
    outcome.replaceChildren();
  });
}

// --- Editing

function readForm(form, initial) {
  const value = (name) => {
    const field = form.elements[name];
    if (!initial) return field.value;
    if (field.options) return ([...field.options].find((option) => option.defaultSelected) || field.options[0]).value;
    return field.defaultValue;
  };
  const issue = value("issue").trim().replace(/^#/, "");
  return {
    title: value("title").trim(),
    description: value("description") || null,
    status: value("status"),
    priority: value("priority"),
    due_date: value("due_date") || null,
    tags: distinct(value("tags").split("\n").map((tag) => tag.trim()).filter(Boolean)),
    repository: value("repository").trim(),
    issue: /^[0-9]+$/.test(issue) ? Number(issue) : issue || null,
  };
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Tags that differ by letter case alone are one tag, as in the service.
function distinct(tags) {
  const lower = tags.map((tag) => tag.toLowerCase());
  return tags.filter((_, n) => lower.indexOf(lower[n]) === n);
}

// Whether the service stores the typed value as this one; a URL is stored as owner/name.
function means(name, typed, value) {
  if (name !== "repository" || !typed) return same(typed, value);
  return `/${typed.toLowerCase().replace(/\.git\b/, "").split(/[^\w.-]+/).join("/")}/`.includes(`/${value.toLowerCase()}/`);
}

function changesOf(form) {
  const mine = readForm(form, false);
  const before = readForm(form, true);
  return Object.fromEntries(Object.entries(mine).filter(([name, value]) => !same(value, before[name])));
}

let opening = false; // whether an editor is on its way: what is typed meanwhile is meant for it

const fieldText = (value) => (Array.isArray(value) ? value.join("\n") : String(value ?? ""));

// Sets the values that the form starts from to those of a task; the fields `kept` keep what was typed.
function rebase(form, task, kept) {
  form.elements.version.value = task.version;
  for (const name of WRITABLE) {
    const field = form.elements[name];
    const text = fieldText(task[name]);
    const typed = field.value;
    if (field.options) for (const option of field.options) option.defaultSelected = option.value === text;
    else field.defaultValue = text;
    field.value = kept.includes(name) ? typed : text;
  }
}

async function edit(row) {
  if ($(".editor", row)) return $(".editor [name=title]", row).focus();
  const from = document.activeElement;
  opening = true;
  const page = await load($(".title", row).href).finally(() => { opening = false; });
  row = document.getElementById(row.id); // the list may be a new one
  if (!row) return undefined;
  const stays = !focusIsElsewhere(from, row);
  const form = document.adoptNode($("#edit", page));
  // Two editors on one page would share the ids of their fields.
  for (const open of $$(".editor")) if (!closeEditor(open)) return;
  $(".buttons", form).append(element("button", { type: "button", textContent: "Cancel", onclick: () => closeEditor(form.parentNode, true) }));
  row.append(element("div", { className: "editor" }, form));
  prepareEditing(form);
  if (stays) form.elements.title.focus();
}

function closeEditor(editor, discard = false) {
  const row = editor.closest(".row");
  const form = $("form", editor);
  const unsaved = JSON.stringify(changesOf(form));
  if (!discard && unsaved !== "{}" && unsaved !== editor.dataset.warned) {
    editor.dataset.warned = unsaved;
    say("There are unsaved changes; once more discards them.");
    return false;
  }
  const stays = !focusIsElsewhere(editor);
  editor.remove();
  if (row && !row.closest("#list")) row.remove(); // its task is gone from the list
  else if (row && stays) show(row);
  settle();
  return true;
}

function prepareEditing(form) {
  const id = form.getAttribute("action").split("/").pop();
  form.onsubmit = (event) => {
    event.preventDefault();
    alone([form], () => save(form, id, changesOf(form))).catch(fail);
  };
}

function prepareTask() {
  if (onTask()) prepareEditing($("#edit"));
}

async function save(form, id, fields, note = "") {
  const version = form.elements.version.value;
  showErrors(form, {});
  let after;
  const before = readForm(form, true);
  try {
    after = await api("PATCH", `/tasks/${id}`, { body: fields, version });
  } catch (failure) {
    if (failure.status === 412) return conflict(form, id, fields);
    const errors = failure.data?.errors?.json;
    if (!errors) {
      showErrors(form, { title: [] }, failure.message);
      throw failure;
    }
    return showErrors(form, errors);
  }
  const undo = Object.keys(fields).length && (async () => {
    await api("PATCH", `/tasks/${id}`, { body: Object.fromEntries(Object.keys(fields).map((name) => [name, before[name]])), version: after.version });
    return `Undone: #${id} is as before.`;
  });
  const editor = form.closest(".editor");
  const now = readForm(form, false);
  const typed = WRITABLE.filter((name) => !same(now[name], name in fields ? fields[name] : before[name]));
  if (typed.length && form.isConnected) {
    rebase(form, after, typed);
    note += " What you typed meanwhile is not saved yet.";
  } else if (editor) closeEditor(editor, true);
  else {
    rebase(form, after, []); // it gives way to a new one, if that comes
    if (!focusIsElsewhere(form)) $("#main").focus({ preventScroll: true });
  }
  say(`Saved #${id}.${note}`, { undo });
  return void renew(); // the next save does not wait for it
}

function showErrors(form, errors, general) {
  for (const old of $$(".failure, .conflict", form)) old.remove();
  for (const field of form.elements) field.removeAttribute?.("aria-invalid");
  if (general) form.prepend(element("p", { className: "failure wide", role: "alert", textContent: general }));
  let first = null;
  for (const [name, texts] of Object.entries(errors)) {
    const field = form.elements[name];
    const message = Array.isArray(texts) ? texts.join(" ") : Object.values(texts).flat().join(" ");
    if (!message) continue;
    const shown = element("p", { className: "failure", id: `wrong-${name}`, textContent: message });
    if (!field) {
      form.prepend(shown);
      continue;
    }
    field.closest("p").after(shown);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", shown.id);
    first ||= field;
  }
  if (!focusIsElsewhere(form)) first?.focus();
}

// Shows what was typed beside what the task has now, for each field that both have changed.
async function conflict(form, id, mine) {
  const theirs = await api("GET", `/tasks/${id}`);
  form.elements.version.value = theirs.version;
  const before = readForm(form, true);
  const others = Object.keys(before).filter((name) => !same(before[name], theirs[name]) && !means(name, mine[name], theirs[name]));
  const names = others.filter((name) => name in mine);
  // No field was changed by both, or our own request was applied and its response was lost.
  if (!names.length) return save(form, id, mine, others.length ? ` Changed meanwhile: ${others.join(", ").replace("_", " ")}.` : "");
  const typed = Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
  rebase(form, theirs, Object.keys({ ...mine, ...changesOf(form) }));
  const text = (value) => (Array.isArray(value) ? value.join(", ") : value ?? "") || "nothing";
  const choice = (name, which, value) => element("td", {}, element("label", {},
    element("input", { type: "radio", name: `keep-${name}`, value: which, checked: which === "mine" }),
    ` ${which === "mine" ? "Keep mine" : "Take theirs"}: `, element("bdi", { textContent: text(value) })));
  const table = element("table", { className: "versions" },
    element("caption", { className: "hide", textContent: "Your version and theirs" }),
    element("tbody", {}, ...names.map((name) => element("tr", {},
      element("th", { scope: "row", textContent: name.replace("_", " ") }), choice(name, "mine", mine[name]), choice(name, "theirs", theirs[name])))));
  const save2 = element("button", { className: "main", textContent: "Save this choice" });
  const box = element("div", { className: "conflict wide", role: "group", ariaLabel: "Conflict" },
    element("p", { className: "failure", role: "alert", textContent: "The task has changed since you read it. Choose for each field:" }), table, save2);
  for (const old of $$(".conflict", form)) old.remove();
  // A choice fills its field, so it counts however the form is saved.
  box.onchange = ({ target }) => {
    const name = target.name.slice("keep-".length);
    form.elements[name].value = target.value === "mine" ? typed[name] : fieldText(theirs[name]);
  };
  form.prepend(box);
  if (!focusIsElsewhere(form)) $("input", box).focus();
  return undefined;
}

// --- Keys and events

const onTask = () => $("main.task");
const onOne = () => $("main:is(.task, .repository)");

function move(step) {
  const list = rows();
  if (!list.length) return;
  const at = list.findIndex((row) => row.contains(document.activeElement) || idOf(row) === current);
  show(list[at < 0 ? 0 : Math.min(Math.max(at + step, 0), list.length - 1)]);
}

const goto = (id) => ($(id) ? $(id).focus() : location.assign(`${root}/${id}`));

const KEYS = {
  n: () => goto("#line"),
  "/": () => goto("#search"),
  j: () => move(1),
  k: () => move(-1),
  u: () => undoLast(),
  "?": () => help().catch(fail),
};
const ROW_KEYS = {
  x: (row) => $("input", row).click(),
  e: (row) => edit(row).catch(fail),
  d: (row) => $(".tick", row).click(),
  o: (row) => $(".out", row) && window.open($(".out", row).href, "_blank", "noopener"),
  r: (row) => refreshOnce(refresh, [$(".name", row).textContent]),
};
const FIELDS = "input:not([type=checkbox]), textarea, select"; // where keys are typed
const TASK_KEYS = {
  e: () => $("#edit [name=title]")?.focus(),
  d: () => $("#done")?.click(),
  o: () => $(".card .out") && window.open($(".card .out").href, "_blank", "noopener"),
  r: () => $("[data-refresh]").click(),
};

// Whether an Enter is held, or the second of two that were meant for the first one's place, which is gone.
let entered = { target: null, time: -ENTER_PAUSE };

function isExtraEnter({ target, key, repeat, timeStamp: time }) {
  const second = repeat || (target !== entered.target && time - entered.time < ENTER_PAUSE);
  const extra = key === "Enter" && second && !target.matches("textarea");
  entered = { target: extra ? entered.target : target, time: key === "Enter" ? time : -ENTER_PAUSE };
  return extra;
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (isExtraEnter(event)) return event.preventDefault();
  if (key === "Escape" && target.closest(".editor")) return void closeEditor(target.closest(".editor"));
  if (key === "Escape" && target.matches("#line, #search")) {
    event.preventDefault(); // the browser would empty it
    return void target.blur();
  }
  if (key === "Enter" && (event.ctrlKey || event.metaKey) && target.form) {
    return void target.form.requestSubmit($("button.main:not([type=button])", target.form));
  }
  const typing = target.matches(FIELDS);
  if (typing || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || $("#dialog").open) return undefined;
  if (localStorage.getItem("keys") === "off") return undefined;
  const row = target.closest("#list .row") || rows().find((found) => idOf(found) === current);
  if (opening && (ROW_KEYS[key] || key === "u")) return undefined;
  const action = KEYS[key] || (row && ROW_KEYS[key] && (() => ROW_KEYS[key](row))) || (onOne() && TASK_KEYS[key]);
  if (!action) return undefined;
  event.preventDefault();
  if (event.repeat && key !== "j" && key !== "k") return undefined;
  return action();
});

$("#dialog").addEventListener("close", settle); // what had the focus before may be gone

document.addEventListener("focusin", (event) => {
  const row = event.target.closest("#list .row");
  if (row) current = idOf(row);
  markCurrent();
});

document.addEventListener("change", (event) => {
  if (event.target.matches(".row > input")) {
    everyMatch = false;
    showSelection();
  }
  if (event.target.id === "sort") {
    const { form } = event.target;
    form.action = new URL("#sort", form.action); // an arrow key may go on to the next one
    form.requestSubmit();
  }
});

document.addEventListener("submit", (event) => {
  if (event.target.matches(".delete form")) {
    event.preventDefault();
    return void deleteTask(event.target).catch(fail);
  }
  const { name, value, dataset } = event.submitter || {};
  const status = { done: "done", reopen: "open" }[name];
  if (!status && !dataset?.refresh && event.target.id !== "list") return;
  event.preventDefault();
  if (!status && !dataset?.refresh) return;
  if (!status) refreshOnce(refresh, [dataset.refresh]);
  else if (value) setStatus([value.split(".")], status).catch(fail);
  else statusSelected(status);
});

// A text that was typed into an editor is not thrown away by mistake.
window.addEventListener("beforeunload", (event) => {
  if ($$("#edit").some((form) => Object.keys(changesOf(form)).length)) event.preventDefault();
});

// The second click of a double click would press the button that has come to its place meanwhile.
// A touch screen counts no clicks, so time and place tell, too.
let clicked = { timeStamp: -Infinity };
document.addEventListener("click", (event) => {
  const near = Math.hypot(event.clientX - clicked.clientX, event.clientY - clicked.clientY) < DOUBLE_CLICK.distance;
  const second = event.detail > 1 || (event.detail && near && event.timeStamp - clicked.timeStamp < DOUBLE_CLICK.pause);
  clicked = event;
  if (!second || !event.target.closest("button")) return;
  event.preventDefault();
  event.stopPropagation();
}, true);

// The policy lets no link run a script: this one is for a bookmark.
document.addEventListener("click", (event) => {
  if (!event.target.closest(".bookmark")) return;
  event.preventDefault();
  say("Drag this link to your bookmarks.");
});

// Reads the list anew when someone comes back to it.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && Date.now() - read > LIST_AGE && $("#list, #content")) renew();
});

// --- The start

const theme = $("#theme");
if (theme) {
  theme.hidden = false;
  theme.onclick = () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    document.cookie = `theme=${dark ? "light" : "dark"}; Path=/; Max-Age=31536000; SameSite=Lax`;
  };
}
$("#help")?.addEventListener("click", (event) => {
  event.preventDefault();
  help().catch(fail);
});
if (/^#(line|search|sort)$/.test(location.hash)) {
  $(location.hash)?.focus();
  history.replaceState(null, "", location.pathname + location.search); // once: not after each reload
}
if (location.hash.startsWith("#t")) current = location.hash.slice(2);
if ($("main.help")) prepareHelp();
prepareTask();
prepareList();
prepareAdding();
prepareImport();
markCurrent();
const deleted = sessionStorage.getItem("deleted");
if (deleted && $("#content")) {
  sessionStorage.removeItem("deleted");
  reportDeleted([JSON.parse(deleted)], []);
  $("#main").focus();
}
if (!tellClock() && $("#content")) renew();
