// The call that the form makes, as code for one's own program. The key is a placeholder: the page's own is no application's.

const KEY = "YOUR_API_KEY";
const pad = (text, width) => text.split("\n").join(`\n${" ".repeat(width)}`);

/** `body` as a program in `language`. */
export function snippet(language, body, origin) {
    return { curl, python, javascript }[language](body, `${origin}/v1`);
}

function curl(body, base) {
    const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
    return `curl ${base}/responses \\\n  -H "Authorization: Bearer ${KEY}" \\\n  -H "Content-Type: application/json" \\\n  -d '${json}'`;
}

function python(body, base) {
    const members = Object.entries(body).map(([name, value]) => `    ${name}=${pad(pythonic(value), 4)},`);
    return `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key="${KEY}")\n`
        + `response = client.responses.create(\n${members.join("\n")}\n)\nprint(response.output_text)`;
}

function javascript(body, base) {
    return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}", apiKey: "${KEY}" });\n`
        + `const response = await client.responses.create(${JSON.stringify(body, null, 2)});\nconsole.log(response.output_text);`;
}

/** A JSON value as Python writes it: the two differ in three words only. */
function pythonic(value, indent = "") {
    if (value === null) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value !== "object") return JSON.stringify(value);
    const deeper = `${indent}    `, list = Array.isArray(value);
    const parts = list ? value.map((item) => pythonic(item, deeper))
        : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${pythonic(item, deeper)}`);
    const [open, close] = list ? "[]" : "{}";
    if (!parts.length) return open + close;
    return `${open}\n${parts.map((part) => `${deeper}${part},`).join("\n")}\n${indent}${close}`;
}
