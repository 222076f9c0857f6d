// Files of a vector store: a queue of uploads, and the progress of all that the page shows.
const page = document.getElementById("store-files");
const table = document.getElementById("files");
const body = table.tBodies[0];
const form = document.getElementById("upload");
const said = document.getElementById("upload-said");
const template = document.getElementById("file-row");

const AT_ONCE = 3;
const POLL_MS = 1500;
const ASKED_AT_ONCE = 100;
const SYSTEM_FILES = /^(\.|Thumbs\.db$|desktop\.ini$|~\$)/i;
const CHANGES = [["edit", "Edit"], ["remove", "Remove"]];
const LOGGED_OUT = "Your session has ended. Log in again in another tab, then press Retry here.";
const BROKEN = "The connection broke off. Check the network, then press Retry.";

const slot = (row, name) => row.querySelector(`[data-slot="${name}"]`);

function say(row, { word, tone = "", detail = "", percent = null, retry = false }) {
    const badge = slot(row, "word");
    if (badge.textContent !== word) badge.textContent = word;
    badge.className = `desk-badge ${tone}`;
    if (slot(row, "detail").textContent !== detail) slot(row, "detail").textContent = detail;
    slot(row, "progress").hidden = percent === null;
    if (percent !== null) {
        row.querySelector("progress").value = percent;
        slot(row, "percent").textContent = `${percent} %`;
    }
    const again = row.querySelector("form[data-retry]");
    if (again) again.hidden = !retry;
}

function show(row, file) {
    row.dataset.file = file.file_id;
    row.toggleAttribute("data-busy", file.busy);
    slot(row, "name").textContent = file.name;
    slot(row, "name").href = file.preview;
    slot(row, "pages").textContent = file.pages;
    slot(row, "chunks").textContent = file.chunks;
    for (const [name, verb] of CHANGES) {
        const link = slot(row, name);
        if (!link) continue;
        link.href = file[name];
        link.hidden = false;
        link.setAttribute("aria-label", `${verb} ${file.name}`);
    }
    const again = row.querySelector("form[data-retry]");
    if (again) again.elements.file.value = file.file_id;
    say(row, { ...file, percent: file.busy ? file.percent : null, retry: file.may_retry });
}

// --- progress ---

let timer = null;

function poll() {
    if (timer === null) timer = setTimeout(ask, POLL_MS);
}

async function ask() {
    timer = null;
    const busy = [...body.querySelectorAll("tr[data-busy]")];
    if (!busy.length) return;
    if (document.hidden) return poll();
    const query = busy.slice(0, ASKED_AT_ONCE).map((row) => `file=${row.dataset.file}`).join("&");
    try {
        const answer = await fetch(`${page.dataset.progress}?${query}`, { headers: { Accept: "application/json" } });
        if (answer.ok && !answer.redirected) {
            const { files, counts } = await answer.json();
            for (const row of busy.slice(0, ASKED_AT_ONCE)) {
                const file = files[row.dataset.file];
                if (file) show(row, file);
                else row.remove();
            }
            for (const [name, count] of Object.entries(counts)) {
                page.querySelector(`[data-count="${name}"]`).textContent = count;
            }
        }
    } catch (error) {
        if (!(error instanceof TypeError)) throw error; // the network is away: ask again
    }
    poll();
}

// --- uploads ---

const waiting = [];
let running = 0;
const done = { sent: 0, refused: 0, known: 0, left: 0, all: 0 };

function announce() {
    const parts = [`${done.sent} of ${done.all} file${done.all === 1 ? "" : "s"} uploaded`];
    if (done.known) parts.push(`${done.known} of them were here already`);
    if (done.refused) parts.push(`${done.refused} could not be uploaded, see below`);
    if (done.left) parts.push(`${done.left} hidden system file${done.left === 1 ? " was" : "s were"} left out`);
    said.textContent = `${parts.join("; ")}.`;
}

function rowFor(file, path) {
    const row = template.content.firstElementChild.cloneNode(true);
    slot(row, "name").textContent = file.name;
    slot(row, "size").textContent = [sizeOf(file.size), path].filter(Boolean).join(" · ");
    slot(row, "added").textContent = "just now";
    row.querySelector("progress").setAttribute("aria-label", `Progress of ${file.name}`);
    for (const [name] of CHANGES) if (slot(row, name)) slot(row, name).hidden = true;
    const again = row.querySelector("form[data-retry] button");
    if (again) again.setAttribute("aria-label", `Retry ${file.name}`);
    return row;
}

function sizeOf(bytes) {
    const units = ["bytes", "KB", "MB", "GB", "TB"];
    let at = 0;
    for (; bytes >= 1024 && at < units.length - 1; at++) bytes /= 1024;
    return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}

function add(found) {
    const rows = document.createDocumentFragment();
    for (const { file, path } of found) {
        if (SYSTEM_FILES.test(file.name)) {
            done.left += 1;
            continue;
        }
        done.all += 1;
        const job = { file, path, row: rowFor(file, path) };
        rows.append(job.row);
        if (file.size > Number(page.dataset.largest)) {
            refuse(job, `It has ${sizeOf(file.size)}; the limit is ${page.dataset.largestSaid}. Split it and upload the parts.`, false);
        } else if (file.size === 0) {
            refuse(job, "The file is empty.", false);
        } else {
            enqueue(job);
        }
    }
    body.prepend(rows);
    table.hidden = false;
    document.getElementById("no-files")?.remove();
    announce();
    next();
}

function enqueue(job) {
    say(job.row, { word: "Waiting to upload" });
    waiting.push(job);
}

function refuse(job, reason, again = true) {
    done.refused += 1;
    say(job.row, { word: "Not uploaded", tone: "bad", detail: reason, retry: again });
    const retry = job.row.querySelector("form[data-retry]");
    retry.onsubmit = (event) => {
        event.preventDefault();
        event.stopImmediatePropagation();
        retry.onsubmit = null;
        done.refused -= 1;
        enqueue(job);
        next();
    };
    announce();
}

function next() {
    while (running < AT_ONCE && waiting.length) send(waiting.shift());
}

function send(job) {
    running += 1;
    const data = new FormData();
    data.append("file", job.file, job.file.name);
    if (job.path) data.append("path", job.path);
    for (const name of ["csrfmiddlewaretoken", "chunk_tokens", "overlap_tokens", "groups"]) {
        data.append(name, form.elements[name].value);
    }
    const request = new XMLHttpRequest();
    request.open("POST", page.dataset.upload);
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (event) => {
        const percent = Math.floor((100 * event.loaded) / event.total);
        say(job.row, { word: percent < 100 ? "Uploading" : "Storing", percent });
    };
    request.onerror = () => refuse(job, BROKEN);
    request.onload = () => take(job, request);
    request.onloadend = () => {
        running -= 1;
        next();
    };
    say(job.row, { word: "Uploading", percent: 0 });
    request.send(data);
}

function take(job, request) {
    let answer = null;
    try {
        answer = JSON.parse(request.responseText);
    } catch (error) {
        const outside = request.status === 200 || request.status === 403;
        return refuse(job, outside ? LOGGED_OUT : `The server could not take it (${request.status}). Press Retry in a moment.`);
    }
    if (request.status !== 200) return refuse(job, answer.error.message);
    done.sent += 1;
    if (answer.known) done.known += 1;
    for (const row of body.querySelectorAll(`tr[data-file="${answer.file_id}"]`)) row.remove();
    show(job.row, answer);
    announce();
    poll();
}

// --- what was chosen or dropped ---

async function* filesUnder(entry, folder = "") {
    if (entry.isFile) {
        const file = await new Promise((found, failed) => entry.file(found, failed));
        yield { file, path: folder ? `${folder}${file.name}` : "" };
        return;
    }
    const reader = entry.createReader();
    for (;;) {
        // A reader gives some hundred entries at a time.
        const entries = await new Promise((found, failed) => reader.readEntries(found, failed));
        if (!entries.length) return;
        for (const inner of entries) yield* filesUnder(inner, `${folder}${entry.name}/`);
    }
}

async function dropped(event) {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    for (const entry of entries) for await (const one of filesUnder(entry)) found.push(one);
    add(found);
}

if (form) {
    const drop = form.querySelector(".upload-drop");
    for (const element of form.querySelectorAll("[data-needs-script]")) element.hidden = false;
    for (const input of form.querySelectorAll("input[type=file]")) {
        input.hasChangeListener = true; // unfold's script would write the name into a field that is not here
        input.addEventListener("change", () => {
            add([...input.files].map((file) => ({ file, path: file.webkitRelativePath || "" })));
            input.value = "";
        });
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const kind of ["dragenter", "dragover"]) {
        drop.addEventListener(kind, (event) => {
            event.preventDefault();
            drop.classList.add("over");
        });
    }
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
        event.preventDefault();
        drop.classList.remove("over");
        dropped(event);
    });
    // A file dropped beside the field would replace the page.
    for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
    window.addEventListener("beforeunload", (event) => {
        if (running || waiting.length) event.preventDefault();
    });
}

body.addEventListener("submit", async (event) => {
    const again = event.target.closest("form[data-retry]");
    if (!again || event.defaultPrevented) return;
    event.preventDefault();
    const row = again.closest("tr");
    again.hidden = true;
    try {
        const answer = await fetch(page.dataset.retry, {
            method: "POST",
            body: new FormData(again),
            headers: { Accept: "application/json" },
        });
        const found = await answer.json();
        if (!answer.ok) return say(row, { word: "Failed", tone: "bad", detail: found.error.message, retry: true });
        for (const file of Object.values(found.files)) show(row, file);
        poll();
    } catch (error) {
        say(row, { word: "Failed", tone: "bad", detail: error instanceof SyntaxError ? LOGGED_OUT : BROKEN, retry: true });
    }
});

poll();
