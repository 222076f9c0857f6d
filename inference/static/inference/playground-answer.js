// One turn of the conversation on the page. Whatever a model or a document says is set as text, never as markup.

const make = (name, className = "", text = "") => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
};
const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
const uuid = (digits) => digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

export class Answer {
    #text; #facts; #header; #fileDoor; #started = 0; #first = null; #passages = []; #annotations = []; #usage = null;
    text = ""; responseId = null; requestId = null;

    constructor(role, text, fileDoor) {
        this.#fileDoor = fileDoor;
        this.element = make("article", `turn turn--${role}`);
        this.#header = make("header");
        this.#header.append(make("h2", "", role === "user" ? "You" : "Model"), make("span"));
        this.#text = make("div", "turn-text", text);
        this.text = text;
        this.element.append(this.#header, this.#text);
    }

    offer(label, act) {
        const button = make("button", "turn-small", label);
        button.type = "button";
        button.addEventListener("click", act);
        this.#header.lastChild.append(button, " ");
    }

    edit(text, changed) {
        const area = make("textarea", "desk-input");
        area.value = text;
        area.rows = 6;
        area.setAttribute("aria-label", "What the model said");
        area.addEventListener("input", () => { this.text = area.value; changed(area.value); });
        this.#text.replaceChildren(area);
        area.focus();
    }

    // --- while it comes ---

    begin() {
        this.#started = performance.now();
        this.#text.classList.add("waiting");
    }

    asked(requestId) { this.requestId = requestId; }

    take(event) {
        switch (event.type) {
            case "response.created":
                this.responseId = event.response.id;
                break;
            case "response.output_item.done":
                if (event.item.type === "file_search_call") this.#passages = event.item.results ?? [];
                if (event.item.type === "function_call") this.#say(`${event.item.name}(${event.item.arguments})\n`);
                break;
            case "response.output_text.delta":
            case "response.refusal.delta":
                this.#say(event.delta);
                break;
            case "response.output_text.annotation.added":
                this.#annotations.push(event.annotation);
                break;
            case "response.incomplete":
            case "response.completed":
                this.#usage = event.response.usage;
                if (event.response.incomplete_details) this.#note(incomplete(event.response.incomplete_details.reason), "warn");
                break;
            case "response.failed":
                throw Object.assign(new Error(), { detail: { ...event.response.error, code: event.response.error.reason } });
            case "error":
                throw Object.assign(new Error(), { detail: event });
        }
    }

    #say(text) {
        this.#first ??= performance.now();
        this.text += text;
        this.#text.append(text);
    }

    // --- when it has ended ---

    end() {
        this.#text.classList.remove("waiting");
        if (this.text) this.#cite();
        if (this.#passages.length) this.element.append(this.#listed());
        this.#facts = make("dl", "turn-facts");
        const total = performance.now() - this.#started;
        if (this.#first !== null) this.#fact("First token", seconds(this.#first - this.#started));
        this.#fact("Total", seconds(total));
        if (this.#usage) this.#tokens(this.#usage);
        this.element.append(this.#facts);
    }

    stopped() { this.#note("Stopped. What was written until then is charged.", "warn"); }

    fail(detail, advice) {
        const note = this.#note(detail.message, "bad");
        note.setAttribute("role", "alert");
        if (advice) note.append(" ", advice);
        const named = [detail.param && `Setting: ${detail.param}.`, detail.code && `Code: ${detail.code}.`,
            detail.request_id && `Request: ${detail.request_id}.`].filter(Boolean).join(" ");
        if (named) note.append(make("br"), make("small", "", named));
    }

    /** Cost and links, once the call is settled; `found` is null where it never became one. */
    facts(found) {
        if (!found) return;
        if (found.cost !== null) this.#fact("Cost", `${found.cost} ${found.currency}`);
        this.#fact("Answered by", found.model);
        if (found.attempts > 1) this.#fact("Attempts", String(found.attempts));
        const link = make("a", "", this.responseId ?? this.requestId);
        link.href = found.page;
        this.#fact("Request", link);
    }

    #tokens(usage) {
        const cached = usage.input_tokens_details?.cached_tokens, thought = usage.output_tokens_details?.reasoning_tokens;
        this.#fact("Tokens in", `${usage.input_tokens}${cached ? ` (${cached} cached)` : ""}`);
        this.#fact("Tokens out", `${usage.output_tokens}${thought ? ` (${thought} reasoning)` : ""}`);
    }

    #fact(name, value) {
        const pair = make("div"), said = make("dd");
        said.append(value);
        pair.append(make("dt", "", name), said);
        this.#facts.append(pair);
    }

    #note(text, kind) {
        const note = make("p", `desk-note ${kind}`, text);
        this.element.append(note);
        return note;
    }

    /** The markers [1], [2] … as links to the cited places. Places are counted in characters, not in UTF-16 units. */
    #cite() {
        const letters = Array.from(this.text), parts = [];
        let at = 0;
        for (const annotation of [...this.#annotations].sort((a, b) => a.index - b.index)) {
            const marker = /^\[\d{1,2}\]/.exec(letters.slice(annotation.index, annotation.index + 4).join(""));
            if (!marker || annotation.index < at) continue;
            const link = make("a", "", marker[0]);
            link.href = this.#opens(annotation);
            link.target = "_blank";
            link.title = placeOf(annotation);
            parts.push(letters.slice(at, annotation.index).join(""), link);
            at = annotation.index + marker[0].length;
        }
        this.#text.replaceChildren(...parts, letters.slice(at).join(""));
    }

    #opens({ file_id: file, page, start }) {
        const query = new URLSearchParams({ ...(start != null && { start }), ...(page && { page }) });
        return `${this.#fileDoor.replace("/id/", `/${uuid(file.replace("file-", ""))}/`)}?${query}`;
    }

    #listed() {
        const details = make("details"), list = make("ol", "passages");
        details.append(make("summary", "", `${this.#passages.length} passages were given to the model`), list);
        const cited = new Set([...this.text.matchAll(/\[(\d{1,2})\]/g)].map((match) => Number(match[1])));
        this.#passages.forEach((passage, place) => {
            const row = make("li", cited.has(place + 1) ? "cited" : ""), link = make("a", "", placeOf(passage));
            link.href = this.#opens(passage);
            link.target = "_blank";
            const used = cited.has(place + 1) ? "cited" : "not cited";
            row.append(`[${place + 1}] `, link, make("span", "desk-quiet", ` · score ${passage.score.toFixed(4)} · ${used}`));
            const text = make("p", "", passage.text);
            text.tabIndex = 0; // it may be longer than its box, and scrolls by keyboard, too
            row.append(text);
            list.append(row);
        });
        return details;
    }
}

const placeOf = ({ filename, page }) => (page ? `${filename}, page ${page}` : filename);
const incomplete = (reason) => (reason === "content_filter"
    ? "Your safety policy ended the answer here."
    : "The answer was cut off at the longest length allowed. Raise it under Parameters.");
