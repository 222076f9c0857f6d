// A prompt of the tenant in the playground: its versions, and a field for each of a version's variables.

export class Prompts {
    #data; #form; #changed; #versions = []; #id = "";

    constructor(data, form, changed) {
        [this.#data, this.#form, this.#changed] = [data, form, changed];
        form.elements.prompt.addEventListener("change", () => this.#load());
        form.elements.version.addEventListener("change", () => this.#show());
    }

    /** Choose a prompt and, where it is given, a version. */
    async choose(id, version) {
        this.#form.elements.prompt.value = id;
        if (this.#form.elements.prompt.value !== id) return;
        await this.#load();
        if (this.#versions.some(({ number }) => String(number) === version)) {
            this.#form.elements.version.value = version;
            this.#show();
        }
    }

    /** As the API takes it; null where no prompt is chosen. */
    reference() {
        const version = this.#current();
        if (!version) return null;
        const variables = {};
        for (const input of this.#fields().querySelectorAll("[data-variable]")) {
            if (input.value !== "") variables[input.dataset.variable] = input.value;
        }
        return { id: this.#id, version: String(version.number), ...(Object.keys(variables).length && { variables }) };
    }

    #fields() { return document.getElementById("variables"); }

    #current() { return this.#versions.find(({ number }) => String(number) === this.#form.elements.version.value); }

    async #load() {
        const chosen = this.#form.elements.prompt.value;
        this.#versions = [];
        if (chosen) {
            const answer = await fetch(this.#data.doors.prompt.replace("/id/", `/${chosen}/`));
            if (answer.ok) ({ id: this.#id, versions: this.#versions } = await answer.json());
        }
        this.#form.elements.version.replaceChildren(...this.#versions.map(({ number, note }) =>
            new Option(note ? `${number}: ${note.slice(0, 60)}` : String(number), number)));
        document.getElementById("prompt-settings").hidden = !this.#versions.length;
        this.#show();
    }

    #show() {
        const version = this.#current(), variables = Object.entries(version?.variables ?? {});
        const legend = this.#fields().querySelector("legend");
        this.#fields().replaceChildren(legend, ...variables.map(([name, rules]) => field(name, rules)));
        this.#fields().hidden = !variables.length;
        document.getElementById("version-note").textContent = version ? said(version) : "";
        const { model } = version?.defaults ?? {};
        if (model && model in this.#data.models) {
            this.#form.elements.model.value = model;
            this.#form.elements.model.dispatchEvent(new Event("change"));
        }
        this.#changed();
    }
}

const said = ({ messages }) => `${messages.length === 1 ? "One message goes" : `${messages.length} messages go`} before the conversation.`;

function field(name, rules) {
    const box = document.createElement("div"), label = document.createElement("label"), help = document.createElement("small");
    const input = inputFor(rules);
    box.className = "desk-field";
    input.className = "desk-input";
    input.id = `variable-${name}`;
    input.dataset.variable = name;
    if (rules.default != null) input.placeholder = String(rules.default);
    label.htmlFor = input.id;
    label.textContent = name;
    help.textContent = [rules.description, rules.required === false || rules.default != null ? "optional" : ""].filter(Boolean).join(", ");
    box.append(label, input, help);
    return box;
}

function inputFor(rules) {
    const choices = { enum: rules.values, boolean: ["true", "false"] }[rules.type];
    if (choices) {
        const select = document.createElement("select");
        select.append(new Option("", ""), ...choices.map((value) => new Option(value, value)));
        return select;
    }
    const input = document.createElement(rules.type === "string" || rules.type === "string_array" ? "textarea" : "input");
    if (input.tagName === "TEXTAREA") input.rows = 2;
    return input;
}
