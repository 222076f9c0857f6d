"""`manage.py register_model`: put an upstream's model with its list prices into the catalogue."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.catalogue import register_model
from inference.models import Capability, DeploymentBase, Model
from tenants.errors import AtriumError


def _price(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


def _credentials(options: dict[str, Any]) -> dict[str, str]:
    """From standard input, which no list of processes shows."""
    if options["api_key_stdin"]:
        return {"api_key": sys.stdin.readline().strip()}
    if not options["credentials_stdin"]:
        return {}
    try:
        given = json.loads(sys.stdin.read())
    except json.JSONDecodeError as error:
        raise CommandError("The credentials are not JSON.") from error
    names = DeploymentBase.CREDENTIALS
    if not isinstance(given, dict) or not all(name in names and isinstance(given[name], str) for name in given):
        raise CommandError(f"The credentials are a JSON object of strings, of {', '.join(names)}.")
    return given


def _capabilities(options: dict[str, Any]) -> list[str] | None:
    """None: as they are, or usual."""
    if options["kind"] != "chat":
        return []
    given = options["capability"]
    return None if given is None else sorted(set(given) - {"none"})


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Register a model of an OpenAI-compatible server or of Amazon Bedrock, with its prices per million tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The model, where it answers, and what it costs."""
        parser.add_argument("--name", required=True, help="the catalogue's name; prices are kept under it")
        parser.add_argument("--kind", choices=("chat", "embedding", "rerank", "moderation"), default="chat")
        parser.add_argument("--provider", choices=("openai", "openai-responses", "bedrock"), default="openai")
        parser.add_argument("--base-url", default="", help="with /v1 where the server has it; Bedrock needs none")
        parser.add_argument("--region", default="", help="of Bedrock, as in eu-central-1")
        parser.add_argument("--upstream-model", default="", help="the server's own name for it; by default the same")
        parser.add_argument("--api-key-stdin", action="store_true", help="read the server's key from standard input")
        parser.add_argument(
            "--credentials-stdin", action="store_true",
            help="read Bedrock's from standard input, as JSON: access_key_id, secret_access_key, session_token or api_key",
        )  # fmt: skip
        parser.add_argument("--input-price", type=_price, help="per million input tokens")
        parser.add_argument("--output-price", type=_price, help="per million output tokens")
        parser.add_argument(
            "--embedding-price", type=_price, help="per million tokens that an embedding or re-ranking model reads"
        )
        parser.add_argument("--moderation-price", type=_price, help="per million texts that a moderation model judges")
        parser.add_argument("--currency", default="USD")
        parser.add_argument("--context-window", type=int, default=128_000)
        parser.add_argument("--max-output-tokens", type=int, default=4_096)
        parser.add_argument("--dimensions", type=int)
        parser.add_argument(
            "--capability", action="append", choices=[*Capability.values, "none"],
            help="what a chat model can, again for each; by default all but vision",
        )  # fmt: skip
        parser.add_argument("--strategy", choices=Model.Strategy.values, help="which deployment is asked first")
        parser.add_argument(
            "--fallback", action="append", help="a model that answers instead, again for each, in order"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Register, or say in one line why not."""
        prices = {
            meter: options[name]
            for meter, name in (
                ("input_tokens", "input_price"),
                ("output_tokens", "output_price"),
                ("embedding_tokens", "embedding_price"),
                ("moderation_calls", "moderation_price"),
            )
            if options[name] is not None
        }
        credentials = _credentials(options)
        try:
            model = register_model(
                name=options["name"],
                kind=options["kind"],
                provider=options["provider"],
                base_url=options["base_url"],
                upstream_model=options["upstream_model"],
                api_key=credentials.pop("api_key", ""),
                credentials=credentials,
                region=options["region"],
                prices=prices,
                currency=options["currency"],
                context_window=options["context_window"],
                max_output_tokens=options["max_output_tokens"],
                dimensions=options["dimensions"],
                capabilities=_capabilities(options),
                strategy=options["strategy"],
                fallbacks=options["fallback"],
                now=datetime.now(UTC),
            )
        except AtriumError as error:
            raise CommandError(error.message) from error
        said = {"id": str(model.id), "name": model.name, "kind": model.kind}
        self.stdout.write(json.dumps(said) if options["json"] else f"registered {model.name}")
