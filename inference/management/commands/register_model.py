"""`manage.py register_model`: put an upstream's model with its list prices into the catalogue."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.catalogue import register_model
from tenants.errors import AtriumError


def _price(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Register a model behind an OpenAI-compatible server, with its prices per million tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The model, where it answers, and what it costs."""
        parser.add_argument("--name", required=True, help="the catalogue's name; prices are kept under it")
        parser.add_argument("--kind", choices=("chat", "embedding", "rerank"), default="chat")
        parser.add_argument("--base-url", required=True, help="with /v1 where the server has it")
        parser.add_argument("--upstream-model", default="", help="the server's own name for it; by default the same")
        parser.add_argument("--api-key-stdin", action="store_true", help="read the server's key from standard input")
        parser.add_argument("--input-price", type=_price, help="per million input tokens")
        parser.add_argument("--output-price", type=_price, help="per million output tokens")
        parser.add_argument(
            "--embedding-price", type=_price, help="per million tokens that an embedding or re-ranking model reads"
        )
        parser.add_argument("--currency", default="USD")
        parser.add_argument("--context-window", type=int, default=128_000)
        parser.add_argument("--max-output-tokens", type=int, default=4_096)
        parser.add_argument("--dimensions", type=int)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Register, or say in one line why not."""
        prices = {
            meter: options[name]
            for meter, name in (
                ("input_tokens", "input_price"),
                ("output_tokens", "output_price"),
                ("embedding_tokens", "embedding_price"),
            )
            if options[name] is not None
        }
        try:
            model = register_model(
                name=options["name"],
                kind=options["kind"],
                provider="openai",
                base_url=options["base_url"],
                upstream_model=options["upstream_model"],
                api_key=sys.stdin.readline().strip() if options["api_key_stdin"] else "",
                prices=prices,
                currency=options["currency"],
                context_window=options["context_window"],
                max_output_tokens=options["max_output_tokens"],
                dimensions=options["dimensions"],
                now=datetime.now(UTC),
            )
        except AtriumError as error:
            raise CommandError(error.message) from error
        said = {"id": str(model.id), "name": model.name, "kind": model.kind}
        self.stdout.write(json.dumps(said) if options["json"] else f"registered {model.name}")
