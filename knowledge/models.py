"""What it knows: files, vector stores, what is attached to them, and what search reads.

A store file's chunks, embeddings and terms appear in the transaction that completes it and vanish in the one that
detaches it, so a search never sees half a document.
"""

from typing import ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now
from pgvector.django import HalfVectorField, SparseVectorField

from tenants.encryption import EncryptedTextField
from tenants.managers import TenantManager, TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantForeignKey, TenantOwned

#: Terms are hashed into this many places (28 bits); see `sql/terms.sql`.
TERM_SPACE = 2**28


class Living(TenantManager):
    """Rows that are not deleted. A deleted one answers like a missing one from the moment that it is marked; what
    hangs on it is removed in the background (`purging.py`), which sees it through `all_rows`.
    """

    def get_queryset(self) -> models.QuerySet:
        """As `TenantManager`'s, without the deleted."""
        return super().get_queryset().filter(deleted_at=None)


class Space(TenantModel):
    """An embedding model at a version: vectors are comparable within one, and have its dimensions."""

    name = models.CharField(max_length=200, help_text="model@version")
    dimensions = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_space_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="knowledge_space_once"),
        ]

    def __str__(self) -> str:
        return self.name


class File(TenantModel):
    """A file that was uploaded, or is fetched from a URL: `uploaded` until its bytes are there.

    Its bytes lie in the object store under `storage_key`, which `knowledge.storage` makes from `stored_id`.
    """

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        PROCESSED = "processed"
        ERROR = "error"

    purpose = models.CharField(max_length=32)
    filename = models.CharField(max_length=255)
    # Ordered by bytes, so that an index of it serves beginnings (`knowledge.file_names`) whatever the database's locale.
    filename_lower = models.GeneratedField(
        expression=Lower("filename"), output_field=models.CharField(max_length=255, db_collation="C"), db_persist=True
    )
    bytes = models.BigIntegerField()
    mime_type = models.CharField(max_length=127)
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=Status, default=Status.PROCESSED)
    status_details = models.TextField(blank=True, default="", help_text="Why it is in error, or was not refreshed.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    content_id = models.UUIDField(null=True, help_text="Of fetched bytes: each attempt writes to a place of its own.")
    # Encrypted, because what follows the question mark is often a signature.
    source_url = EncryptedTextField(blank=True, default="")
    source_etag = models.CharField(max_length=255, blank=True, default="")
    source_modified = models.CharField(max_length=255, blank=True, default="", help_text="Last-Modified, as it came.")
    fetched_at = models.DateTimeField(null=True, help_text="When the source was last seen to have these bytes.")
    fetch_id = models.UUIDField(null=True, help_text="The unit of work that fetches it, while there is one.")
    fetch_attempts = models.PositiveSmallIntegerField(default=0)
    fetch_claim = models.PositiveIntegerField(
        default=0, help_text="The attempt of the claim that may write: the fence."
    )
    replaced_by = models.ForeignKey(
        "self", on_delete=models.DO_NOTHING, null=True, editable=False, db_constraint=False, db_index=False,
        related_name="+", help_text="Its next version: once every store has that one, this one is deleted.",
    )  # fmt: skip
    deleted_at = models.DateTimeField(null=True, editable=False, help_text="Its bytes are about to be removed.")
    made_with = ArrayField(
        models.CharField(max_length=128),
        null=True,
        editable=False,
        help_text="Of output: the groups of the caller for whom it was made; who is limited to groups needs them all.",
    )

    objects: ClassVar[Living] = Living()
    all_rows = TenantManager()

    #: The sweep of expiry asks for ids over all tenants.
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_file_owned"),
            TenantForeignKey(name="knowledge_file_replaced_by", field="replaced_by"),
        ]
        indexes = [
            models.Index(fields=["tenant", "sha256"], name="knowledge_file_content"),
            models.Index(fields=["tenant", "filename_lower"], name="knowledge_file_names"),
            models.Index(
                fields=["tenant", "fetch_id"],
                name="knowledge_file_fetches",
                condition=models.Q(fetch_id__isnull=False),
            ),
            models.Index(
                fields=["expires_at"], name="knowledge_file_expiry", condition=models.Q(expires_at__isnull=False)
            ),
            models.Index(
                fields=["tenant", "replaced_by"],
                name="knowledge_file_versions",
                condition=models.Q(replaced_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.filename

    @property
    def stored_id(self) -> UUID:
        """The id that its bytes lie under."""
        return self.content_id or self.id


class Document(TenantModel):
    """What a file says, as text: read once, however many stores it is in. Offsets of chunks are offsets into `text`.

    `preparation` names what was done to the text after it was read; '' is the text as it was read.
    """

    file = models.ForeignKey(File, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    preparation = models.CharField(max_length=64, default="", blank=True)
    text = models.TextField()
    pages = models.JSONField(default=list, help_text="[[number, start, end], …] in characters; empty without pages.")
    title = models.TextField(null=True)
    language = models.CharField(max_length=16, default="", db_default="", blank=True, help_text="'' is unknown.")
    mime_type = models.CharField(max_length=127)
    ocr_pages = models.PositiveIntegerField(default=0)
    warnings = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_document_owned"),
            TenantForeignKey(name="knowledge_document_file", field="file"),
            models.UniqueConstraint(fields=["tenant", "file", "preparation"], name="knowledge_document_once"),
        ]

    def __str__(self) -> str:
        return f"{self.file_id} {self.preparation}".strip()


#: Files that still are: an expired one answers like a missing one.
UNEXPIRED = models.Q(expires_at=None) | models.Q(expires_at__gt=Now())


class VectorStore(TenantModel):
    """Files that are searched together. The counters move in the transactions that complete and detach files."""

    name = models.CharField(max_length=256, blank=True)
    description = models.CharField(max_length=512, blank=True, default="")
    metadata = models.JSONField(default=dict, blank=True)
    embedding_model = models.CharField(max_length=200, help_text="The model whose price embedding has.")
    space = models.ForeignKey(Space, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    preparation = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="What is done to texts before they are cut; see `preparation`.",
    )
    expires_after_days = models.PositiveSmallIntegerField(null=True, blank=True)
    last_active_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    revision = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="Grows whenever what a search finds may change."
    )
    chunk_count = models.PositiveBigIntegerField(default=0, db_default=0)
    term_count = models.PositiveBigIntegerField(default=0, db_default=0, help_text="The sum of its chunks' lengths.")
    languages = models.JSONField(default=dict, db_default={}, help_text="{text search configuration: chunks}")
    expired_at = models.DateTimeField(
        null=True, editable=False, help_text="Its content is gone; its list of files stays."
    )
    deleted_at = models.DateTimeField(null=True, editable=False, help_text="It is about to be removed.")

    objects: ClassVar[Living] = Living()
    all_rows = TenantManager()

    #: The sweep of expiry asks for ids over all tenants.
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_vectorstore_owned"),
            TenantForeignKey(name="knowledge_vectorstore_space", field="space"),
        ]
        indexes = [
            models.Index(
                fields=["last_active_at"],
                name="knowledge_store_expiry",
                condition=models.Q(expires_after_days__isnull=False, expired_at__isnull=True, deleted_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


class VectorStoreFile(TenantModel):
    """A file attached to a store, and how far its ingestion is. Its unit of work has the same id."""

    class State(models.TextChoices):
        QUEUED = "queued"
        PARSING = "parsing"
        CHUNKING = "chunking"
        EMBEDDING = "embedding"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    store = models.ForeignKey(
        VectorStore, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="attachments"
    )
    file = models.ForeignKey(
        File, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="attachments"
    )
    attributes = models.JSONField(default=dict, blank=True)
    allowed_groups = ArrayField(
        models.TextField(), null=True, blank=True, help_text="Who finds it; null: everybody. See `knowledge.access`."
    )
    chunking = models.JSONField(help_text="{max_chunk_size_tokens, chunk_overlap_tokens}")
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    percent = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(max_length=32, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    chunk_count = models.PositiveIntegerField(default=0)
    usage_bytes = models.PositiveBigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Runs that count towards the cap.")
    claim = models.PositiveIntegerField(default=0, help_text="The attempt of the claim that may write: the fence.")
    key_id = models.UUIDField(null=True, help_text="The API key that attached it; its budget pays.")
    reservation_id = models.UUIDField(null=True, help_text="The hold of the run under way.")
    parts_left = models.PositiveIntegerField(default=0, db_default=0, help_text="Parts that it waits for.")
    pages_done = models.PositiveIntegerField(default=0, db_default=0, help_text="Pages that are read.")
    pages_total = models.PositiveIntegerField(null=True, help_text="Null: no pages, or not looked at yet.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    completed_at = models.DateTimeField(null=True)
    replaces = models.ForeignKey(
        "self", on_delete=models.DO_NOTHING, null=True, editable=False, db_constraint=False, db_index=False,
        related_name="+", help_text="The version that answers until this one is completed, and vanishes then.",
    )  # fmt: skip

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_vectorstorefile_owned"),
            TenantForeignKey(name="knowledge_vectorstorefile_replaces", field="replaces"),
            TenantForeignKey(name="knowledge_vectorstorefile_store", field="store"),
            TenantForeignKey(name="knowledge_vectorstorefile_file", field="file"),
            models.UniqueConstraint(fields=["tenant", "store", "file"], name="knowledge_vectorstorefile_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "file"], name="knowledge_store_file_by_file"),
            models.Index(fields=["tenant", "store", "state", "file"], name="knowledge_store_file_states"),
            models.Index(
                fields=["tenant", "state", "id"],
                name="knowledge_store_file_undone",
                condition=~models.Q(state="completed"),
            ),
            models.Index(
                fields=["tenant", "store"],
                name="knowledge_restricted_file",
                condition=models.Q(allowed_groups__isnull=False),
            ),
            models.Index(
                fields=["tenant", "replaces"],
                name="knowledge_store_file_versions",
                condition=models.Q(replaces__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        """By names where they were read with the row, else by ids: nothing is asked of the database for it."""
        read = self._state.fields_cache
        file = self.file.filename if "file" in read else self.file_id
        return f"{file} in {self.store if 'store' in read else self.store_id}"


class IngestionPart(TenantModel):
    """A part of a long document that some worker reads or embeds. Its unit of work has the same id.

    A part to read is the pages `first` to `last` (from 1, both included); its result is a parsed document. A part to
    embed is `passages`, [[start, end, tokens, text], …]; its result is `vectors`, float32 by rows. `claim` is the fence.
    """

    class Kind(models.TextChoices):
        READ = "read"
        EMBED = "embed"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    store_file = models.ForeignKey(
        VectorStoreFile, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="parts"
    )
    kind = models.CharField(max_length=5, choices=Kind)
    number = models.PositiveIntegerField()
    first = models.PositiveIntegerField(default=0)
    last = models.PositiveIntegerField(default=0)
    passages = models.JSONField(default=list)
    done = models.BooleanField(default=False)
    result = models.JSONField(null=True)
    vectors = models.BinaryField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    claim = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_ingestionpart_owned"),
            TenantForeignKey(name="knowledge_ingestionpart_store_file", field="store_file"),
            models.UniqueConstraint(
                fields=["tenant", "store_file", "kind", "number"], name="knowledge_ingestionpart_once"
            ),
        ]


class FileBatch(TenantModel):
    """Files attached to a store by one request. Its counts are those of its files, asked of them each time."""

    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_filebatch_owned"),
            TenantForeignKey(name="knowledge_filebatch_store", field="store"),
        ]
        indexes = [models.Index(fields=["tenant", "store"], name="knowledge_filebatch_by_store")]

    def __str__(self) -> str:
        return str(self.id)


class FileBatchEntry(TenantModel):
    """A file of a batch. A file may be in several batches of its store; detached, it is in none."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    batch = models.ForeignKey(
        FileBatch, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="entries"
    )
    store_file = models.ForeignKey(VectorStoreFile, on_delete=models.CASCADE, db_constraint=False, db_index=False)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_filebatchentry_owned"),
            TenantForeignKey(name="knowledge_filebatchentry_batch", field="batch"),
            TenantForeignKey(name="knowledge_filebatchentry_store_file", field="store_file"),
            models.UniqueConstraint(fields=["tenant", "batch", "store_file"], name="knowledge_filebatchentry_once"),
        ]
        indexes = [models.Index(fields=["tenant", "store_file"], name="knowledge_filebatch_by_file")]


class Reembedding(TenantModel):
    """A store on its way into another space; search keeps using the store's own until `reembedding.py` switches.

    Work is done in bounded units, each with an id of its own: `unit_id` names the one that may write.
    """

    class State(models.TextChoices):
        EMBEDDING = "embedding"
        CLEANING = "cleaning"
        FAILED = "failed"

    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    embedding_model = models.CharField(max_length=200)
    space = models.ForeignKey(Space, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    state = models.CharField(max_length=12, choices=State, default=State.EMBEDDING)
    unit_id = models.UUIDField()
    cursor = models.UUIDField(null=True, help_text="The store's file up to which no chunk lacks a vector.")
    chunks_done = models.PositiveBigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Of the present unit.")
    error_message = models.TextField(blank=True, default="")
    key_id = models.UUIDField(null=True, help_text="The API key that asked for it; its budget pays.")
    reservation_id = models.UUIDField(null=True, help_text="The hold of the unit under way.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_reembedding_owned"),
            TenantForeignKey(name="knowledge_reembedding_store", field="store"),
            TenantForeignKey(name="knowledge_reembedding_space", field="space"),
            models.UniqueConstraint(fields=["tenant", "store"], name="knowledge_reembedding_once"),
            models.UniqueConstraint(fields=["tenant", "unit_id"], name="knowledge_reembedding_unit"),
        ]


class Chunk(TenantModel):
    """A piece of a document: `document[start:end]` in characters, `page` and `heading` where it begins."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    store_file = models.ForeignKey(
        VectorStoreFile, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="chunks"
    )
    ordinal = models.PositiveIntegerField()
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    page = models.PositiveIntegerField(null=True)
    heading = models.TextField(null=True)
    tokens = models.PositiveIntegerField()
    language = models.CharField(
        max_length=16, default="english", db_default="english", help_text="The text search configuration that stems it."
    )

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_chunk_owned"),
            TenantForeignKey(name="knowledge_chunk_store_file", field="store_file"),
            models.UniqueConstraint(fields=["tenant", "store_file", "ordinal"], name="knowledge_chunk_once"),
        ]


class Embedding(TenantModel):
    """A vector of a chunk in a space; `passage` numbers them where the model sees less than a chunk holds.

    `start` and `end` are the passage's place in the document's text; the last row of several is their mean, which has
    the chunk's place.
    List-partitioned by tenant (design.md, Vectors): tenants share the default partition until one gets its own.
    `store_id` and `store_file_id` repeat the chunk's, so that the scan needs no join.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    space = models.ForeignKey(Space, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    chunk = models.ForeignKey(Chunk, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    passage = models.PositiveSmallIntegerField()
    start = models.PositiveIntegerField(default=0, db_default=0)
    end = models.PositiveIntegerField(default=0, db_default=0)
    store_id = models.UUIDField()
    store_file_id = models.UUIDField()
    embedding = HalfVectorField()

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_embedding_owned"),
            # So that a copy under way to a partition of its own is in nobody's way (see `partitions.moves`).
            TenantForeignKey(name="knowledge_embedding_chunk", field="chunk", cascade=True),
            TenantForeignKey(name="knowledge_embedding_space", field="space"),
            models.UniqueConstraint(fields=["tenant", "chunk", "space", "passage"], name="knowledge_embedding_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "space", "store_id", "store_file_id"], name="knowledge_embedding_scan")
        ]


class ChunkTerms(TenantModel):
    """A chunk for the lexical scan: of each term its BM25 weight but for the term's rarity, which the query brings."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    chunk = models.ForeignKey(Chunk, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    store_id = models.UUIDField()
    store_file_id = models.UUIDField()
    weights = SparseVectorField(dimensions=TERM_SPACE)
    length = models.PositiveIntegerField(help_text="Terms with repetition, without stop words.")

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_chunkterms_owned"),
            # So that a copy under way to a partition of its own is in nobody's way (see `partitions.moves`).
            TenantForeignKey(name="knowledge_chunkterms_chunk", field="chunk", cascade=True),
            models.UniqueConstraint(fields=["tenant", "chunk"], name="knowledge_chunkterms_once"),
        ]
        indexes = [models.Index(fields=["tenant", "store_id", "store_file_id"], name="knowledge_chunkterms_scan")]


class StoreTerm(TenantModel):
    """In how many chunks of a store a term occurs. Terms are kept as hashes: no vocabulary to read."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    store_id = models.UUIDField()
    term = models.IntegerField()
    chunks = models.IntegerField()

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_storeterm_owned"),
            models.UniqueConstraint(fields=["tenant", "store_id", "term"], name="knowledge_storeterm_once"),
        ]


class BucketSource(TenantModel):
    """A bucket that a store follows, and how far its synchronisation is (`knowledge.sources.syncing`)."""

    store = models.ForeignKey(
        VectorStore, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="sources"
    )
    bucket = models.CharField(max_length=255)
    prefix = models.TextField(blank=True, default="")
    region = models.CharField(max_length=64)
    endpoint_url = models.CharField(max_length=500, blank=True, default="")
    access_key_id = EncryptedTextField()
    secret_access_key = EncryptedTextField()
    sync_every_minutes = models.PositiveIntegerField(null=True, blank=True)
    key_id = models.UUIDField(null=True, help_text="The API key that added it; its budget pays.")
    sync_id = models.UUIDField(null=True, help_text="The unit of work that synchronises it, while there is one.")
    sync_attempts = models.PositiveSmallIntegerField(default=0, help_text="Runs since the last that got anywhere.")
    sync_claim = models.PositiveIntegerField(default=0, help_text="The attempt of the claim that may write: the fence.")
    cursor = models.BinaryField(default=b"", help_text="The last key of the listing that is done.")
    counts = models.JSONField(default=dict, help_text="Objects by what became of them; of the last synchronisation.")
    last_error = models.TextField(blank=True, default="")
    last_started_at = models.DateTimeField(null=True)
    last_completed_at = models.DateTimeField(null=True)
    next_sync_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    #: The sweep asks for those that are due over all tenants.
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_bucketsource_owned"),
            TenantForeignKey(name="knowledge_bucketsource_store", field="store"),
        ]
        indexes = [
            models.Index(fields=["tenant", "store"], name="knowledge_bucketsource_store_i"),
            models.Index(
                fields=["next_sync_at"],
                name="knowledge_bucketsource_due",
                condition=models.Q(next_sync_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.prefix}"


class BucketObject(TenantModel):
    """An object of a bucket as it was last seen: the file that it is, or the reason why it is none.

    Keys are bytes: S3 sorts them so, and they may hold what no text column takes.
    """

    source = models.ForeignKey(BucketSource, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    key = models.BinaryField(max_length=1024)
    etag = models.CharField(max_length=255)
    size = models.BigIntegerField()
    file_id = models.UUIDField(null=True, help_text="May name a file that was deleted by hand.")
    reason = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            TenantOwned(name="knowledge_bucketobject_owned"),
            TenantForeignKey(name="knowledge_bucketobject_source", field="source"),
            models.UniqueConstraint(fields=["tenant", "source", "key"], name="knowledge_bucketobject_once"),
        ]

    def __str__(self) -> str:
        return bytes(self.key).decode(errors="replace")
