"""Code that calls this deployment with a new key: the address it really has, and a model that the key may really use."""

from textwrap import dedent

from tenants.models import ApiKey

from ..catalogue import granted_models
from ..models import Model

_PLACE = "$ATRIUM_API_KEY"


def snippets(*, base_url: str, key: ApiKey) -> dict[str, str]:
    """Language → code, in the scope of the key's tenant; empty where the key may call no chat model.

    The key itself does not stand in them: it belongs into the environment, not into files.
    """
    if "inference" not in key.scopes:
        return {}
    model = next((grant.alias for grant in granted_models(Model.Kind.CHAT, key_id=key.id)), None)
    if model is None:
        return {}
    return {
        "curl": _curl(base_url, model),
        "Python": _python(base_url, model),
        "JavaScript": _javascript(base_url, model),
    }


def _curl(base_url: str, model: str) -> str:
    return dedent(f"""\
        curl {base_url}/chat/completions \\
          -H "Authorization: Bearer {_PLACE}" \\
          -H "Content-Type: application/json" \\
          -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'""")


def _python(base_url: str, model: str) -> str:
    return dedent(f"""\
        # pip install openai
        import os
        from openai import OpenAI

        client = OpenAI(base_url="{base_url}", api_key=os.environ["ATRIUM_API_KEY"])
        answer = client.chat.completions.create(
            model="{model}",
            messages=[{{"role": "user", "content": "Hello"}}],
        )
        print(answer.choices[0].message.content)""")


def _javascript(base_url: str, model: str) -> str:
    return dedent(f"""\
        // npm install openai
        import OpenAI from "openai";

        const client = new OpenAI({{ baseURL: "{base_url}", apiKey: process.env.ATRIUM_API_KEY }});
        const answer = await client.chat.completions.create({{
          model: "{model}",
          messages: [{{ role: "user", content: "Hello" }}],
        }});
        console.log(answer.choices[0].message.content);""")
