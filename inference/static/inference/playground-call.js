// Calls of the public API from the page: a key that lives in this module alone, and a stream of server-sent events.

const RENEW_SECONDS = 60;

/** The page's key: asked for when it is needed, kept in memory, never in a URL or in storage. */
export class Keys {
    #door; #token; #key = null; #groups = ""; #until = 0;

    constructor(door, csrfToken) {
        this.#door = door;
        this.#token = csrfToken;
    }

    /** A key that is good for a minute at least, for a reader in `groups`. */
    async get(groups, { anew = false } = {}) {
        const wanted = JSON.stringify(groups);
        if (anew || wanted !== this.#groups || Date.now() / 1000 > this.#until - RENEW_SECONDS) {
            const answer = await fetch(this.#door, {
                method: "POST",
                headers: { "Content-Type": "application/json", "X-CSRFToken": this.#token },
                body: JSON.stringify({ groups }),
            });
            if (!answer.ok) throw await refusal(answer);
            const made = await answer.json();
            [this.#key, this.#until, this.#groups] = [made.key, made.expires_at, wanted];
        }
        return this.#key;
    }
}

/** An error with the API's own description as `detail`. */
async function refusal(answer) {
    const problem = new Error(`HTTP ${answer.status}`);
    let said = null;
    try { said = (await answer.json()).error; } catch { /* a page, not the API's JSON: say so below */ }
    problem.status = answer.status;
    problem.detail = said ?? {
        message: answer.status === 403 ? "You are logged out, or your role no longer includes this. Reload the page."
            : `The server answered with status ${answer.status}.`,
    };
    problem.detail.request_id ??= answer.headers.get("x-request-id");
    return problem;
}

/** The events of one call, decoded. A key that was replaced by another window's is renewed once. */
export async function* stream(url, body, { keys, groups, signal, answered }) {
    let answer = await post(url, body, await keys.get(groups), signal);
    if (answer.status === 401) answer = await post(url, body, await keys.get(groups, { anew: true }), signal);
    // What is refused at the door never became a call that could be looked up.
    if (answer.ok || answer.status >= 500) answered(answer.headers.get("x-request-id"));
    if (!answer.ok) throw await refusal(answer);
    let held = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const events = (held + value).split("\n\n");
        held = events.pop();
        for (const event of events) {
            const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
            if (data) yield JSON.parse(data);
        }
    }
}

const post = (url, body, key, signal) => fetch(url, {
    method: "POST",
    credentials: "omit",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
    signal,
});

/** What a call came to. A stopped one is settled a moment after it was stopped, so this asks a few times. */
export async function callFacts(url) {
    for (let round = 0; round < 6; round++) {
        if (round) await new Promise((resolve) => setTimeout(resolve, 400 * round));
        const answer = await fetch(url, { headers: { Accept: "application/json" } });
        if (!answer.ok) return null;
        const facts = await answer.json();
        if (!["queued", "running"].includes(facts.state)) return facts;
    }
    return null;
}
