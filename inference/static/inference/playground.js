// The playground's page: reads the form, sends what it says to the public API, shows what comes back.

import { Answer } from "./playground-answer.js";
import { callFacts, Keys, stream } from "./playground-call.js";
import { Prompts } from "./playground-prompts.js";
import { snippet } from "./playground-snippets.js";

const byId = (id) => document.getElementById(id);
const place = byId("playground-data");
if (place) start(JSON.parse(place.textContent));

function start(data) {
    const settings = byId("settings"), composer = byId("composer"), turns = byId("turns"), message = byId("message");
    const keys = new Keys(data.doors.key, composer.elements.csrfmiddlewaretoken.value);
    const prompts = new Prompts(data, settings, () => showCode());
    let talk = [], running = null, language = "curl";

    // --- what is asked ---

    const field = (name) => settings.elements[name]?.value.trim() ?? "";
    const number = (name) => (field(name) === "" ? undefined : Number(field(name)));

    function request(input) {
        const body = { model: field("model") };
        const prompt = prompts.reference();
        if (prompt) body.prompt = prompt;
        if (field("instructions")) body.instructions = field("instructions");
        if (input.length) body.input = input;
        const stores = [...settings.querySelectorAll("input[name=store]:checked:enabled")].map((box) => box.value);
        if (stores.length) {
            body.tools = [{ type: "file_search", vector_store_ids: stores, max_num_results: number("results") ?? 6 }];
        }
        for (const name of ["temperature", "top_p", "max_output_tokens"]) {
            if (number(name) !== undefined) body[name] = number(name);
        }
        if (field("reasoning_effort")) body.reasoning = { effort: field("reasoning_effort") };
        const format = answerFormat();
        if (format) body.text = { format };
        return body;
    }

    function answerFormat() {
        if (field("format") === "json_object") return { type: "json_object" };
        if (field("format") !== "json_schema") return null;
        return { type: "json_schema", name: "answer", schema: JSON.parse(field("schema")), strict: true };
    }

    const groups = () => field("groups").split(",").map((name) => name.trim()).filter(Boolean);
    const input = () => talk.map(({ role, text }) => ({ role, content: text }));

    // --- the conversation ---

    function say(role, text) {
        const turn = { role, text, answer: new Answer(role, text, data.doors.file) };
        talk.push(turn);
        turn.answer.offer("Edit", () => edit(turn));
        turn.answer.offer("Remove", () => drop(turn));
        byId("nothing-yet").hidden = true;
        turns.append(turn.answer.element);
        return turn;
    }

    function drop(turn) {
        if (running) return;
        talk = talk.filter((other) => other !== turn);
        turn.answer.element.remove();
        byId("nothing-yet").hidden = talk.length > 0;
        message.focus();
        showCode();
    }

    function edit(turn) {
        if (running) return;
        if (turn.role === "user") {
            // Asked anew from here on, as in any chat.
            const following = talk.slice(talk.indexOf(turn));
            message.value = turn.text;
            following.forEach(drop);
        } else {
            turn.answer.edit(turn.text, (text) => { turn.text = text; showCode(); });
        }
    }

    async function send() {
        const text = message.value.trim();
        if (running || (!text && !talk.length && !prompts.reference())) return;
        const schema = settings.elements.schema;
        try {
            answerFormat();
            schema.setCustomValidity("");
        } catch (error) {
            // Said beside the field itself; nothing is sent, and what was written stays.
            schema.closest("details").open = true;
            schema.setCustomValidity(`This is no JSON: ${error.message}`);
            return schema.reportValidity();
        }
        if (text) say("user", text);
        const body = request(input());
        message.value = "";
        running = new AbortController();
        busy(true);
        const turn = say("assistant", "");
        await ask(body, turn, running.signal);
        turn.text = turn.answer.text;
        if (!turn.text) talk = talk.filter((other) => other !== turn);
        running = null;
        busy(false);
        showCode();
    }

    async function ask(body, turn, signal) {
        const answer = turn.answer;
        answer.begin();
        try {
            const asked = { ...body, stream: true, include: ["file_search_call.results"] };
            const events = stream(data.api, asked, { keys, groups: groups(), signal, answered: (id) => answer.asked(id) });
            for await (const event of events) answer.take(event);
        } catch (error) {
            if (signal.aborted) answer.stopped();
            else answer.fail(error.detail ?? { message: "The connection broke. Check your network, then send it again." }, advice(error.detail));
        }
        answer.end();
        const id = answer.responseId ?? answer.requestId;
        if (id) answer.facts(await callFacts(data.doors.call.replace("/id/", `/${id}/`)));
    }

    const advice = (detail) => data.advice[detail?.code] ?? "";

    function busy(now) {
        turns.setAttribute("aria-busy", String(now));
        byId("send").disabled = now;
        byId("stop").disabled = !now;
        (now ? byId("stop") : message).focus();
    }

    // --- the form ---

    function showModel() {
        const model = data.models[field("model")];
        if (!model) return;
        const facts = [
            `Context ${model.context_window.toLocaleString("en")} tokens, answers up to ${model.max_output_tokens.toLocaleString("en")}.`,
            model.prices.length ? `${model.prices.join(", ")}.` : "",
            `Runs on ${model.where}.`, model.canary ? `${model.canary}.` : "",
        ];
        byId("model-facts").textContent = facts.filter(Boolean).join(" ");
        const temperature = settings.elements.temperature;
        temperature.min = model.min_temperature ?? 0;
        temperature.max = model.max_temperature ?? 2;
        byId("temperature-range").textContent =
            model.min_temperature === null && model.max_temperature === null
                ? "0 is steady, 2 is wild."
                : `This model takes ${temperature.min} to ${temperature.max}.`;
        settings.elements.max_output_tokens.max = model.max_output_tokens;
        byId("documents").disabled = !model.searches;
        byId("no-search").hidden = model.searches;
        showCode();
    }

    function showCode() {
        let body;
        try {
            body = request(nextInput());
        } catch {
            body = { model: field("model") };
        }
        byId("snippet").textContent = snippet(language, body, window.location.origin);
        byId("schema-field").hidden = field("format") !== "json_schema";
    }

    /** What would be sent now; where nothing is written, what was sent last. */
    function nextInput() {
        const written = message.value.trim();
        if (written) return [...input(), { role: "user", content: written }];
        const sent = input().slice(0, talk.findLastIndex(({ role }) => role === "user") + 1);
        return sent.length || prompts.reference() ? sent : [{ role: "user", content: "Hello" }];
    }

    function chooseLanguage(tab) {
        language = tab.dataset.language;
        for (const other of byId("code").querySelectorAll("[role=tab]")) {
            other.setAttribute("aria-selected", String(other === tab));
            other.tabIndex = other === tab ? 0 : -1;
        }
        byId("snippet").setAttribute("aria-labelledby", tab.id);
        showCode();
    }

    function fill(former) {
        if (former.model in data.models) settings.elements.model.value = former.model;
        settings.elements.instructions.value = former.instructions;
        for (const box of settings.querySelectorAll("input[name=store]")) box.checked = former.stores.includes(box.value);
        for (const [name, value] of Object.entries(former.parameters)) {
            if (settings.elements[name]) settings.elements[name].value = name === "schema" ? JSON.stringify(value, null, 2) : value;
        }
        if (Object.keys(former.parameters).length) byId("temperature").closest("details").open = true;
        const last = former.turns.at(-1);
        const asked = last?.[0] === "user" ? former.turns.slice(0, -1) : former.turns;
        for (const [role, text] of asked) say(role, text);
        if (last?.[0] === "user") message.value = last[1];
        const left = former.left_out.length ? ` Not taken over: ${former.left_out.join("; ")}.` : "";
        byId("former").textContent = `This is what request ${former.id} asked. Change what you like, then send it.${left}`;
        byId("former").hidden = false;
    }

    composer.addEventListener("submit", (event) => { event.preventDefault(); send(); });
    message.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
    });
    settings.addEventListener("submit", (event) => event.preventDefault());
    settings.addEventListener("input", showCode);
    message.addEventListener("input", showCode);
    settings.elements.model.addEventListener("change", showModel);
    byId("stop").addEventListener("click", () => running?.abort());
    byId("clear").addEventListener("click", () => {
        running?.abort();
        for (const turn of talk) turn.answer.element.remove();
        turns.querySelectorAll(".turn").forEach((element) => element.remove());
        talk = [];
        byId("nothing-yet").hidden = false;
        message.focus();
        showCode();
    });
    byId("code").addEventListener("click", (event) => { if (event.target.role === "tab") chooseLanguage(event.target); });
    byId("code").addEventListener("keydown", (event) => {
        if (event.target.role !== "tab" || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
        const tabs = [...byId("code").querySelectorAll("[role=tab]")];
        const next = tabs.at((tabs.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : -1)) % tabs.length);
        chooseLanguage(next);
        next.focus();
    });
    byId("copy-code").addEventListener("click", async (event) => {
        await navigator.clipboard.writeText(byId("snippet").textContent);
        event.target.textContent = "Copied";
    });

    // Above the conversation the settings are folded away; beside it they are open, and nothing closes them.
    const beside = matchMedia("(min-width: 1100px)");
    const fold = () => { byId("settings-fold").open = beside.matches; };
    beside.addEventListener("change", fold);
    fold();

    if (data.model in data.models) settings.elements.model.value = data.model;
    if (data.former) fill(data.former);
    if (data.prompt) prompts.choose(data.prompt, data.version);
    showModel();
}
