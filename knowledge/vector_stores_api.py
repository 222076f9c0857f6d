"""`/v1/vector_stores`: create, list, read, update, delete, search."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.limits.rest import TakesRequest
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import lifetime, tasks, vector_stores
from .files_api import PREFIX as FILE_PREFIX
from .files_api import Deleted
from .metering import Payer
from .models import VectorStore
from .ports import DEFAULT_MODEL
from .preparation.recognisers import ENTITIES
from .reembedding import Progress, progress_of
from .request_fields import ChunkingInput, Filters, Number, chunking_of
from .retrieval import Passage, metered_search
from .vector_stores import FileCounts

PREFIX = "vs_"


class FileCountsObject(serializers.Serializer):
    """How many files are where."""

    in_progress = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    total = serializers.IntegerField()


class ExpiresAfter(serializers.Serializer):
    """When a store expires: days after it was last used."""

    anchor = serializers.ChoiceField(choices=["last_active_at"])
    days = serializers.IntegerField(min_value=1, max_value=365)


class EmbeddingProgress(serializers.Serializer):
    """A store on its way to another embedding model (ours); `error` says why it failed. Null where it is on none."""

    embedding_model = serializers.CharField()
    status = serializers.ChoiceField(choices=["in_progress", "failed"])
    percent = serializers.IntegerField()
    error = serializers.CharField(allow_null=True)


class Preparation(serializers.Serializer):
    """What is done to texts before they are cut (ours), fixed when a store is made: `pii` replaces personal data."""

    class Pii(serializers.Serializer):
        """What is replaced by a placeholder such as `<EMAIL_ADDRESS>`; see `knowledge.preparation`."""

        entities = serializers.JSONField(help_text=f"'all', or some of {', '.join(ENTITIES)}.")
        phone_regions = serializers.ListField(
            child=serializers.CharField(),
            required=False,
            help_text="ISO 3166 codes of regions whose phone numbers are found without `+`; US, GB, DE, FR where missing.",
        )

    pii = Pii()


@extend_schema_field(Preparation)
class PreparationInput(serializers.JSONField):
    """As the client wrote it, for the domain to check: a member that is not known must not be dropped in silence."""


class VectorStoreObject(serializers.Serializer):
    """A vector store as clients see it."""

    id = serializers.CharField()
    object = serializers.CharField(default="vector_store")
    created_at = serializers.IntegerField()
    name = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    usage_bytes = serializers.IntegerField()
    file_counts = FileCountsObject()
    status = serializers.ChoiceField(choices=["expired", "in_progress", "completed"])
    expires_after = ExpiresAfter(allow_null=True)
    expires_at = serializers.IntegerField(allow_null=True)
    last_active_at = serializers.IntegerField(allow_null=True)
    metadata = serializers.DictField()
    preparation = Preparation(allow_null=True)
    embedding_model = serializers.CharField()
    embedding_progress = EmbeddingProgress(allow_null=True)


def counts_json(counts: FileCounts) -> dict[str, int]:
    """Counts in OpenAI's shape."""
    return {name: getattr(counts, name) for name in ("in_progress", "completed", "failed", "cancelled", "total")}


def progress_json(progress: Progress | None) -> dict[str, Any] | None:
    """How far a store is on its way to another model."""
    if progress is None:
        return None
    return {
        "embedding_model": progress.embedding_model,
        "status": "failed" if progress.failed else "in_progress",
        "percent": progress.percent,
        "error": progress.error or None,
    }


def store_json(store: VectorStore, counts: FileCounts, progress: Progress | None = None) -> dict[str, Any]:
    """A store in OpenAI's shape."""
    until = lifetime.expires_at(store)
    expired = lifetime.has_expired(store, datetime.now(UTC))
    days = store.expires_after_days
    return {
        "id": public_id(PREFIX, store.id),
        "object": "vector_store",
        "created_at": int(store.created_at.timestamp()),
        "name": store.name,
        "description": store.description,
        "usage_bytes": counts.usage_bytes,
        "file_counts": counts_json(counts),
        "status": "expired" if expired else "in_progress" if counts.in_progress else "completed",
        "expires_after": {"anchor": "last_active_at", "days": days} if days is not None else None,
        "expires_at": int(until.timestamp()) if until else None,
        "last_active_at": int(store.last_active_at.timestamp()),
        "metadata": store.metadata,
        "preparation": store.preparation or None,
        "embedding_model": store.embedding_model,
        "embedding_progress": progress_json(progress),
    }


def _counted(store: VectorStore) -> dict[str, Any]:
    with tenant_scope():
        counts = vector_stores.file_counts([store.id]).get(store.id, FileCounts())
        return store_json(store, counts, progress_of([store]).get(store.id))


class VectorStoresView(TenantAPIView):
    """All vector stores."""

    scopes = {"GET": "vector_stores.read", "POST": "vector_stores.write"}

    class Create(serializers.Serializer):
        """A new store."""

        name = serializers.CharField(max_length=256, required=False, allow_blank=True, allow_null=True)
        description = serializers.CharField(max_length=512, required=False, allow_blank=True, allow_null=True)
        metadata = serializers.DictField(required=False, allow_null=True)
        preparation = PreparationInput(required=False, allow_null=True)
        expires_after = ExpiresAfter(required=False, allow_null=True)
        file_ids = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)
        chunking_strategy = ChunkingInput(required=False, allow_null=True)
        embedding_model = serializers.CharField(required=False, max_length=200, default=DEFAULT_MODEL)

    @extend_schema(operation_id="create_vector_store", request=Create, responses=VectorStoreObject)
    @idempotent()
    def post(self, request: Request) -> Response:
        """Create a vector store, and attach `file_ids` to it."""
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        store = tasks.start_store(
            by=caller_of(request).actor,
            key_id=caller_of(request).key_id,
            sight=caller_of(request).sight,
            name=values.get("name") or "",
            description=values.get("description") or "",
            metadata=values.get("metadata"),
            preparation=values.get("preparation"),
            expires_after_days=(values.get("expires_after") or {}).get("days"),
            embedding_model=values["embedding_model"],
            file_ids=[parse_public_id(FILE_PREFIX, text) for text in values.get("file_ids") or ()],
            strategy=chunking_of(values.get("chunking_strategy")),
        )
        return Response(_counted(store))

    @extend_schema(
        operation_id="list_vector_stores",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order")],
        responses=list_of(VectorStoreObject),
    )
    def get(self, request: Request) -> Response:
        """List vector stores, the newest first."""
        with tenant_scope():
            found = page(
                VectorStore.objects.all(), request, prefix=PREFIX, shape=lambda store: {"id": store.id, "row": store}
            )
            stores = [item["row"] for item in found["data"]]
            counts = vector_stores.file_counts([store.id for store in stores])
            progress = progress_of(stores)
        data = [store_json(row, counts.get(row.id, FileCounts()), progress.get(row.id)) for row in stores]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return Response({**found, **ends, "data": data})


class VectorStoreView(TenantAPIView):
    """One vector store."""

    scopes = {"GET": "vector_stores.read", "POST": "vector_stores.write", "DELETE": "vector_stores.write"}

    class Update(serializers.Serializer):
        """What can be changed."""

        name = serializers.CharField(max_length=256, required=False, allow_blank=True, allow_null=True)
        metadata = serializers.DictField(required=False, allow_null=True)
        expires_after = ExpiresAfter(required=False, allow_null=True)
        embedding_model = serializers.CharField(required=False, max_length=200)

    @extend_schema(operation_id="get_vector_store", responses=VectorStoreObject)
    def get(self, request: Request, store_id: str) -> Response:
        """Retrieve a vector store."""
        return Response(_counted(vector_stores.get_store(store_id=parse_public_id(PREFIX, store_id))))

    @extend_schema(operation_id="update_vector_store", request=Update, responses=VectorStoreObject)
    def post(self, request: Request, store_id: str) -> Response:
        """Change a vector store's name, metadata, expiry or (ours) `embedding_model`: it is embedded anew in the
        background, and answers by its present model until that is complete; `embedding_progress` says how far it is.
        """
        if "preparation" in request.data:
            raise InvalidRequest(
                "A store's 'preparation' cannot be changed: its content was prepared by it. Make another store.",
                param="preparation",
            )
        body = self.Update(data=request.data)
        body.is_valid(raise_exception=True)
        changes = dict(body.validated_data)
        if "expires_after" in changes:
            changes["expires_after_days"] = (changes.pop("expires_after") or {}).get("days")
        if "name" in changes:
            changes["name"] = changes["name"] or ""
        store = tasks.update_store(
            store_id=parse_public_id(PREFIX, store_id),
            changes=changes,
            by=caller_of(request).actor,
            key_id=caller_of(request).key_id,
        )
        return Response(_counted(store))

    @extend_schema(operation_id="delete_vector_store", responses={200: Deleted})
    def delete(self, request: Request, store_id: str) -> Response:
        """Delete a vector store; its files stay."""
        store = tasks.delete_store(store_id=parse_public_id(PREFIX, store_id), by=caller_of(request).actor)
        return Response({"id": public_id(PREFIX, store.id), "object": "vector_store.deleted", "deleted": True})


class VectorStoreSearchView(TenantAPIView):
    """Search in one vector store."""

    scopes = {"POST": "vector_stores.read"}
    throttle_classes = [TakesRequest]

    class Search(serializers.Serializer):
        """A search."""

        class RankingOptions(serializers.Serializer):
            """How passages are ranked, and from which score on they are answered."""

            ranker = serializers.CharField(
                required=False,
                default="auto",
                help_text="`auto`, `default-2024-11-15`, `none` or `hybrid`: meaning and words, fused by reciprocal rank; "
                "`dense`: meaning only; `lexical`: words only (BM25); or the name of a granted re-ranking model, which reads "
                "the 40 best passages again and whose scores are answered (503 `reranker_unavailable` while it is away).",
            )
            score_threshold = Number(
                required=False,
                default=0.0,
                min_value=0,
                max_value=1,
                help_text="Passages that score below are left out. What a score means depends on the ranker. Hybrid: "
                "1 for a passage that is first by meaning and by words, about 0.5 for one that is first by one of them; it "
                "compares the passages of one answer and says nothing of their relevance. `dense`: the cosine similarity of "
                "query and passage, comparable between queries. `lexical`: the share of the best passage's BM25 score.",
            )
            mmr_lambda = Number(
                required=False,
                default=1.0,
                min_value=0,
                max_value=1,
                help_text="Atrium's own. Below 1, passages unlike those before them are preferred (maximal marginal "
                "relevance): 1 is relevance only, 0 difference only. Passages that overlap better ones of the same file by "
                "a third are left out always.",
            )
            neighbors = serializers.IntegerField(
                required=False,
                default=0,
                min_value=0,
                max_value=5,
                help_text="Atrium's own. Answer each passage with so many chunks before and after it, joined.",
            )

        query = serializers.JSONField(help_text="A string, or a list of wordings of the same question.")
        filters = Filters(required=False, allow_null=True)
        max_num_results = serializers.IntegerField(required=False, default=10, min_value=1, max_value=50)
        ranking_options = RankingOptions(required=False, allow_null=True)
        rewrite_query = serializers.BooleanField(
            required=False,
            default=False,
            help_text="Whether the chat model that is granted to you as `default` makes each wording into a search query "
            "first, which is then searched in its place. `search_query` shows what was searched. What the model reads and "
            "writes is metered as its input and output tokens. The wording is searched as it is where the model fails, is "
            "late, or writes anything but one line of at most 512 characters; and, free of charge, where you have no such "
            "model or it is `local-extractive`, which cannot write.",
        )

        def validate_query(self, value: Any) -> list[str]:
            """A list of strings."""
            wordings = [value] if isinstance(value, str) else value
            if not isinstance(wordings, list) or not all(isinstance(text, str) for text in wordings):
                raise serializers.ValidationError("must be a string or a list of strings.")
            return wordings

    class Output(serializers.Serializer):
        """Passages, best first; one page."""

        class Hit(serializers.Serializer):
            """A passage."""

            class Content(serializers.Serializer):
                """Its text."""

                type = serializers.CharField(default="text")
                text = serializers.CharField()

            class Matched(serializers.Serializer):
                """A place in the document."""

                page = serializers.IntegerField(allow_null=True)
                start = serializers.IntegerField()
                end = serializers.IntegerField()

            file_id = serializers.CharField()
            filename = serializers.CharField()
            score = serializers.FloatField()
            attributes = serializers.DictField(allow_null=True)
            content = Content(many=True)
            page = serializers.IntegerField(allow_null=True, help_text="Where the text begins; null without pages.")
            start = serializers.IntegerField(help_text="The text's place in the document, in characters.")
            end = serializers.IntegerField()
            matched = Matched(allow_null=True, help_text="The part of it that is nearest in meaning to the query.")

        object = serializers.CharField(default="vector_store.search_results.page")
        search_query = serializers.ListField(child=serializers.CharField())
        data = Hit(many=True)  # type: ignore[assignment]  # the wire's name is also DRF's
        has_more = serializers.BooleanField()
        next_page = serializers.CharField(allow_null=True)

    @extend_schema(operation_id="search_vector_store", request=Search, responses=Output)
    def post(self, request: Request, store_id: str) -> Response:
        """Search a vector store by meaning and words."""
        store = vector_stores.get_store(store_id=parse_public_id(PREFIX, store_id))
        body = self.Search(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        ranking = values.get("ranking_options") or {}
        caller = caller_of(request)
        result = metered_search(
            payer=Payer(caller.key_id, caller.currency),
            now=datetime.now(UTC),
            store_ids=[store.id],
            query=values["query"],
            limit=values["max_num_results"],
            filters=values.get("filters"),
            groups=caller.groups,
            rewrite=values["rewrite_query"],
            **ranking,
        )
        return Response(
            {
                "object": "vector_store.search_results.page",
                "search_query": result.wordings,
                "data": [_hit_json(passage) for passage in result.passages],
                "has_more": False,
                "next_page": None,
            }
        )


def _hit_json(passage: Passage) -> dict[str, Any]:
    return {
        "file_id": public_id(FILE_PREFIX, passage.file_id),
        "filename": passage.filename,
        "score": passage.score,
        "attributes": passage.attributes,
        "content": [{"type": "text", "text": passage.text}],
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "matched": asdict(passage.matched) if passage.matched else None,
    }
