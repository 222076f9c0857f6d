"""Estimates of ingestion: what embedding a file, or so many bytes of text, and reading its scanned pages would cost.

What a file says is known once it was read; before, a plain text is as long as its bytes, and of other files only a guess
is possible: then there is no `most`.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models.functions import Length

from billing.models import Meter, UsageRecord
from billing.prices import UnitPrice, prices_of, require
from billing.prices.months import this_month
from billing.prices.services import OCR, service_price
from knowledge.chunking import ChunkingStrategy
from knowledge.files import get_file
from knowledge.models import Document, File
from knowledge.vector_stores import get_store
from tenants.api_keys import Caller
from tenants.errors import AtriumError, PermissionDenied
from tenants.scope import tenant_scope

from .. import catalogue
from ..models import Model
from .calls import Estimate

_CHARACTERS_A_TOKEN = 4
_MOST_BYTES_A_CHARACTER = 4
_EMBEDDING = str(Meter.EMBEDDING_TOKENS)


@dataclass(frozen=True)
class Ingestion:
    """What would be ingested: a file, or `bytes` of plain text; into a store, or by a strategy with each model."""

    file_id: UUID | None = None
    bytes: int = 0
    store_id: UUID | None = None
    chunking: ChunkingStrategy | None = None


@dataclass(frozen=True)
class Text:
    """How much text there is: `characters` likely, `most` at most (None: nobody knows), and scanned pages."""

    characters: int
    most: int | None
    ocr_pages: int = 0


def estimate_ingestion(*, wanted: Ingestion, caller: Caller, now: datetime) -> list[Estimate]:
    """What it would cost with each granted embedding model, by alias; with the store's where one is named.

    Raises:
        NotFound: no such file or store.
        PermissionDenied: the key may not read files, or stores.
    """
    text = _text(wanted, caller)
    strategy = wanted.chunking or ChunkingStrategy()
    if wanted.store_id is not None:
        _check_scope(caller, "vector_stores.read")
        store = get_store(store_id=wanted.store_id)
        return [_estimate(store.embedding_model, store.embedding_model, text, strategy, caller, now)]
    granted = catalogue.granted_models(Model.Kind.EMBEDDING, key_id=caller.key_id)
    return [_estimate(row.alias, row.model.name, text, strategy, caller, now) for row in granted]


def _text(wanted: Ingestion, caller: Caller) -> Text:
    if wanted.file_id is None:
        return Text(wanted.bytes, wanted.bytes)
    _check_scope(caller, "files.read")
    file = get_file(file_id=wanted.file_id, sight=caller.sight)
    with tenant_scope():
        read = Document.objects.filter(file_id=file.id, preparation="").annotate(characters=Length("text"))
        found = read.values_list("characters", "ocr_pages").first()
        # Its pages are paid for once.
        paid = UsageRecord.objects.filter(request_id=file.stored_id, meter=Meter.OCR_PAGES).exists()
    if found is not None:
        characters, pages = found
        return Text(characters, characters * _MOST_BYTES_A_CHARACTER, 0 if paid else pages)
    return _unread(file)


def _unread(file: File) -> Text:
    if file.mime_type.startswith("image/"):
        return Text(0, None, ocr_pages=1)
    return Text(file.bytes, file.bytes if file.mime_type.startswith("text/") else None)


def _check_scope(caller: Caller, scope: str) -> None:
    if scope not in caller.scopes:
        raise PermissionDenied(f"This API key lacks the scope '{scope}'. Ask for a key that has it.")


def _estimate(
    alias: str, model: str, text: Text, strategy: ChunkingStrategy, caller: Caller, now: datetime
) -> Estimate:
    try:
        prices = prices_of(models=[model], currency=caller.currency, now=now)
        require([(model, _EMBEDDING)], prices, currency=caller.currency)
    except AtriumError as error:
        return Estimate(alias, error=error)
    price, ocr = prices[model, _EMBEDDING], service_price(OCR, currency=caller.currency, now=now)
    tokens = _embedded(-(-text.characters // _CHARACTERS_A_TOKEN), strategy)
    units = {_EMBEDDING: tokens} | ({str(Meter.OCR_PAGES): text.ocr_pages} if text.ocr_pages and ocr else {})
    month = this_month(now)
    likely = month.cost(price, tokens) + (month.cost(ocr, text.ocr_pages) if ocr else Decimal(0))
    return Estimate(alias, _most(text, strategy, price, ocr), likely, units)


def _embedded(tokens: int, strategy: ChunkingStrategy) -> int:
    """The tokens of all chunks: what neighbours share is embedded with each."""
    size, shared = strategy.max_chunk_size_tokens, strategy.chunk_overlap_tokens
    return tokens if tokens <= size else -(-tokens * size // (size - shared))


def _most(text: Text, strategy: ChunkingStrategy, price: UnitPrice, ocr: UnitPrice | None) -> Decimal | None:
    """A token has a byte at least. Two chunks one after the other hold more than `size - shared` new tokens together, since
    the second begins with a block that the first had no room for; so all of them hold at most twice the likely share."""
    if text.most is None:
        return None
    size, shared = strategy.max_chunk_size_tokens, strategy.chunk_overlap_tokens
    tokens = -(-text.most * 2 * size // (size - shared)) + size
    return round(price.cost(tokens) + (ocr.cost(text.ocr_pages) if ocr else 0), 12)
