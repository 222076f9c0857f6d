// The editor of prompts: variables are found and marked as one types; rows of messages and variables come and go.

const messages = document.getElementById("messages"), variables = document.getElementById("variables");
// As `inference.prompts.templating` reads it: an odd number of backslashes before the braces writes them as they are.
const PLACEHOLDER = /(\\*)\{\{([ \t]*([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*)\}\}/g;

function mark(area) {
    const backdrop = area.previousElementSibling, parts = [];
    let at = 0;
    for (const found of area.value.matchAll(PLACEHOLDER)) {
        if (found[1].length % 2) continue;
        const start = found.index + found[1].length, element = document.createElement("mark");
        element.textContent = area.value.slice(start, found.index + found[0].length);
        parts.push(area.value.slice(at, start), element);
        at = found.index + found[0].length;
    }
    // A last empty line has no height of its own.
    backdrop.replaceChildren(...parts, `${area.value.slice(at)}\n`);
}

function names() {
    const found = new Set();
    for (const area of messages.querySelectorAll("textarea")) {
        for (const match of area.value.matchAll(PLACEHOLDER)) if (match[1].length % 2 === 0) found.add(match[3]);
    }
    return found;
}

const rows = () => [...variables.querySelectorAll("[data-variable]")];

/** A row for each placeholder; those that were made by typing go with their placeholder. */
function follow() {
    const used = names(), known = new Set(rows().map((row) => row.dataset.variable));
    for (const row of rows()) {
        const unused = !used.has(row.dataset.variable);
        if (unused && row.dataset.typed && !row.dataset.touched) row.remove();
        row.querySelector("[data-unused]").hidden = !unused;
        row.querySelector("[data-drop]").hidden = !unused;
    }
    for (const name of used) if (!known.has(name)) variables.append(made(name));
    document.getElementById("no-variables").hidden = rows().length > 0;
}

function made(name) {
    const row = document.getElementById("variable-template").content.cloneNode(true).firstElementChild;
    row.dataset.variable = name;
    row.dataset.typed = "1";
    row.querySelector("legend code").textContent = name;
    row.querySelector("[name=variable_name]").value = name;
    row.querySelector("[name=variable_rest]").value = "{}";
    return row;
}

function count() {
    const all = [...messages.children];
    all.forEach((message, place) => {
        message.querySelector("legend").textContent = `Message ${place + 1}`;
        message.querySelector("select").setAttribute("aria-label", `Role of message ${place + 1}`);
        message.querySelector("textarea").setAttribute("aria-label", `Text of message ${place + 1}`);
        message.querySelector("[data-remove]").hidden = all.length === 1;
    });
}

if (messages) {
    messages.addEventListener("input", (event) => {
        if (event.target.tagName === "TEXTAREA") { mark(event.target); follow(); }
    });
    messages.addEventListener("click", (event) => {
        if (!event.target.matches("[data-remove]")) return;
        event.target.closest(".prompt-message").remove();
        count();
        follow();
        messages.querySelector("textarea").focus();
    });
    variables.addEventListener("input", (event) => {
        const row = event.target.closest("[data-variable]");
        row.dataset.touched = "1";
        row.querySelector("[data-values]").hidden = row.querySelector("[name=variable_type]").value !== "enum";
    });
    variables.addEventListener("click", (event) => {
        if (!event.target.matches("[data-drop]")) return;
        event.target.closest("[data-variable]").remove();
        follow();
    });
    const add = document.getElementById("add-message");
    add.hidden = false;
    add.addEventListener("click", () => {
        messages.append(document.getElementById("message-template").content.cloneNode(true));
        count();
        messages.lastElementChild.querySelector("textarea").focus();
    });
    messages.querySelectorAll("textarea").forEach(mark);
    count();
    follow();
}
