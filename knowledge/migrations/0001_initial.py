import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import pgvector.django.halfvec
import pgvector.django.sparsevec
from django.db import migrations, models

import tenants.encryption
import tenants.ids
import tenants.row_security


class Migration(migrations.Migration):
    initial = True
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="File",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("purpose", models.CharField(max_length=32)),
                ("filename", models.CharField(max_length=255)),
                (
                    "filename_lower",
                    models.GeneratedField(
                        db_persist=True,
                        expression=django.db.models.functions.text.Lower("filename"),
                        output_field=models.CharField(db_collation="C", max_length=255),
                    ),
                ),
                ("bytes", models.BigIntegerField()),
                ("mime_type", models.CharField(max_length=127)),
                ("sha256", models.CharField(max_length=64)),
                ("storage_key", models.CharField(max_length=255)),
                (
                    "status",
                    models.CharField(
                        choices=[("uploaded", "Uploaded"), ("processed", "Processed"), ("error", "Error")],
                        default="processed",
                        max_length=16,
                    ),
                ),
                (
                    "status_details",
                    models.TextField(blank=True, default="", help_text="Why it is in error, or was not refreshed."),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "content_id",
                    models.UUIDField(
                        help_text="Of fetched bytes: each attempt writes to a place of its own.", null=True
                    ),
                ),
                ("source_url", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("source_etag", models.CharField(blank=True, default="", max_length=255)),
                (
                    "source_modified",
                    models.CharField(blank=True, default="", help_text="Last-Modified, as it came.", max_length=255),
                ),
                (
                    "fetched_at",
                    models.DateTimeField(help_text="When the source was last seen to have these bytes.", null=True),
                ),
                (
                    "fetch_id",
                    models.UUIDField(help_text="The unit of work that fetches it, while there is one.", null=True),
                ),
                ("fetch_attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "fetch_claim",
                    models.PositiveIntegerField(
                        default=0, help_text="The attempt of the claim that may write: the fence."
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(editable=False, help_text="Its bytes are about to be removed.", null=True),
                ),
                (
                    "made_with",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=128),
                        editable=False,
                        help_text="Of output: the groups of the caller for whom it was made; who is limited to groups needs them all.",
                        null=True,
                        size=None,
                    ),
                ),
                (
                    "replaced_by",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        help_text="Its next version: once every store has that one, this one is deleted.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="knowledge.file",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "sha256"], name="knowledge_file_content"),
                    models.Index(fields=["tenant", "filename_lower"], name="knowledge_file_names"),
                    models.Index(
                        condition=models.Q(("fetch_id__isnull", False)),
                        fields=["tenant", "fetch_id"],
                        name="knowledge_file_fetches",
                    ),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)),
                        fields=["expires_at"],
                        name="knowledge_file_expiry",
                    ),
                    models.Index(
                        condition=models.Q(("replaced_by__isnull", False)),
                        fields=["tenant", "replaced_by"],
                        name="knowledge_file_versions",
                    ),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_file_owned"),
                    tenants.row_security.TenantForeignKey(field="replaced_by", name="knowledge_file_replaced_by"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("preparation", models.CharField(blank=True, default="", max_length=64)),
                ("text", models.TextField()),
                (
                    "pages",
                    models.JSONField(
                        default=list, help_text="[[number, start, end], …] in characters; empty without pages."
                    ),
                ),
                ("title", models.TextField(null=True)),
                (
                    "language",
                    models.CharField(blank=True, db_default="", default="", help_text="'' is unknown.", max_length=16),
                ),
                ("mime_type", models.CharField(max_length=127)),
                ("ocr_pages", models.PositiveIntegerField(default=0)),
                ("warnings", models.JSONField(default=list)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="knowledge.file",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_document_owned"),
                    tenants.row_security.TenantForeignKey(field="file", name="knowledge_document_file"),
                    models.UniqueConstraint(fields=("tenant", "file", "preparation"), name="knowledge_document_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Space",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(help_text="model@version", max_length=200)),
                ("dimensions", models.PositiveSmallIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_space_owned"),
                    models.UniqueConstraint(fields=("tenant", "name"), name="knowledge_space_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="StoreTerm",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("store_id", models.UUIDField()),
                ("term", models.IntegerField()),
                ("chunks", models.IntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_storeterm_owned"),
                    models.UniqueConstraint(fields=("tenant", "store_id", "term"), name="knowledge_storeterm_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="VectorStore",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(blank=True, max_length=256)),
                ("description", models.CharField(blank=True, default="", max_length=512)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("embedding_model", models.CharField(help_text="The model whose price embedding has.", max_length=200)),
                (
                    "preparation",
                    models.JSONField(
                        blank=True,
                        db_default={},
                        default=dict,
                        help_text="What is done to texts before they are cut; see `preparation`.",
                    ),
                ),
                ("expires_after_days", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("last_active_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "revision",
                    models.PositiveBigIntegerField(
                        db_default=0, default=0, help_text="Grows whenever what a search finds may change."
                    ),
                ),
                ("chunk_count", models.PositiveBigIntegerField(db_default=0, default=0)),
                (
                    "term_count",
                    models.PositiveBigIntegerField(
                        db_default=0, default=0, help_text="The sum of its chunks' lengths."
                    ),
                ),
                (
                    "languages",
                    models.JSONField(db_default={}, default=dict, help_text="{text search configuration: chunks}"),
                ),
                (
                    "expired_at",
                    models.DateTimeField(
                        editable=False, help_text="Its content is gone; its list of files stays.", null=True
                    ),
                ),
                ("deleted_at", models.DateTimeField(editable=False, help_text="It is about to be removed.", null=True)),
                (
                    "space",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="knowledge.space",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            ("deleted_at__isnull", True),
                            ("expired_at__isnull", True),
                            ("expires_after_days__isnull", False),
                        ),
                        fields=["last_active_at"],
                        name="knowledge_store_expiry",
                    )
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_vectorstore_owned"),
                    tenants.row_security.TenantForeignKey(field="space", name="knowledge_vectorstore_space"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BucketSource",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("bucket", models.CharField(max_length=255)),
                ("prefix", models.TextField(blank=True, default="")),
                ("region", models.CharField(max_length=64)),
                ("endpoint_url", models.CharField(blank=True, default="", max_length=500)),
                ("access_key_id", tenants.encryption.EncryptedTextField()),
                ("secret_access_key", tenants.encryption.EncryptedTextField()),
                ("sync_every_minutes", models.PositiveIntegerField(blank=True, null=True)),
                ("key_id", models.UUIDField(help_text="The API key that added it; its budget pays.", null=True)),
                (
                    "sync_id",
                    models.UUIDField(help_text="The unit of work that synchronises it, while there is one.", null=True),
                ),
                (
                    "sync_attempts",
                    models.PositiveSmallIntegerField(default=0, help_text="Runs since the last that got anywhere."),
                ),
                (
                    "sync_claim",
                    models.PositiveIntegerField(
                        default=0, help_text="The attempt of the claim that may write: the fence."
                    ),
                ),
                ("cursor", models.BinaryField(default=b"", help_text="The last key of the listing that is done.")),
                (
                    "counts",
                    models.JSONField(
                        default=dict, help_text="Objects by what became of them; of the last synchronisation."
                    ),
                ),
                ("last_error", models.TextField(blank=True, default="")),
                ("last_started_at", models.DateTimeField(null=True)),
                ("last_completed_at", models.DateTimeField(null=True)),
                ("next_sync_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "store",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sources",
                        to="knowledge.vectorstore",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "store"], name="knowledge_bucketsource_store_i"),
                    models.Index(
                        condition=models.Q(("next_sync_at__isnull", False)),
                        fields=["next_sync_at"],
                        name="knowledge_bucketsource_due",
                    ),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_bucketsource_owned"),
                    tenants.row_security.TenantForeignKey(field="store", name="knowledge_bucketsource_store"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BucketObject",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("key", models.BinaryField(max_length=1024)),
                ("etag", models.CharField(max_length=255)),
                ("size", models.BigIntegerField()),
                ("file_id", models.UUIDField(help_text="May name a file that was deleted by hand.", null=True)),
                ("reason", models.TextField(blank=True, default="")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.bucketsource",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_bucketobject_owned"),
                    tenants.row_security.TenantForeignKey(field="source", name="knowledge_bucketobject_source"),
                    models.UniqueConstraint(fields=("tenant", "source", "key"), name="knowledge_bucketobject_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="FileBatch",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("cancelled_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "store",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.vectorstore",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "store"], name="knowledge_filebatch_by_store")],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_filebatch_owned"),
                    tenants.row_security.TenantForeignKey(field="store", name="knowledge_filebatch_store"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reembedding",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("embedding_model", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[("embedding", "Embedding"), ("cleaning", "Cleaning"), ("failed", "Failed")],
                        default="embedding",
                        max_length=12,
                    ),
                ),
                ("unit_id", models.UUIDField()),
                (
                    "cursor",
                    models.UUIDField(help_text="The store's file up to which no chunk lacks a vector.", null=True),
                ),
                ("chunks_done", models.PositiveBigIntegerField(default=0)),
                ("attempts", models.PositiveSmallIntegerField(default=0, help_text="Of the present unit.")),
                ("error_message", models.TextField(blank=True, default="")),
                ("key_id", models.UUIDField(help_text="The API key that asked for it; its budget pays.", null=True)),
                ("reservation_id", models.UUIDField(help_text="The hold of the unit under way.", null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "space",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="knowledge.space",
                    ),
                ),
                (
                    "store",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.vectorstore",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_reembedding_owned"),
                    tenants.row_security.TenantForeignKey(field="store", name="knowledge_reembedding_store"),
                    tenants.row_security.TenantForeignKey(field="space", name="knowledge_reembedding_space"),
                    models.UniqueConstraint(fields=("tenant", "store"), name="knowledge_reembedding_once"),
                    models.UniqueConstraint(fields=("tenant", "unit_id"), name="knowledge_reembedding_unit"),
                ]
            },
        ),
        migrations.CreateModel(
            name="VectorStoreFile",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("attributes", models.JSONField(blank=True, default=dict)),
                (
                    "allowed_groups",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        blank=True,
                        help_text="Who finds it; null: everybody. See `knowledge.access`.",
                        null=True,
                        size=None,
                    ),
                ),
                ("chunking", models.JSONField(help_text="{max_chunk_size_tokens, chunk_overlap_tokens}")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("parsing", "Parsing"),
                            ("chunking", "Chunking"),
                            ("embedding", "Embedding"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=12,
                    ),
                ),
                ("percent", models.PositiveSmallIntegerField(default=0)),
                ("error_code", models.CharField(blank=True, default="", max_length=32)),
                ("error_message", models.TextField(blank=True, default="")),
                ("chunk_count", models.PositiveIntegerField(default=0)),
                ("usage_bytes", models.PositiveBigIntegerField(default=0)),
                ("attempts", models.PositiveSmallIntegerField(default=0, help_text="Runs that count towards the cap.")),
                (
                    "claim",
                    models.PositiveIntegerField(
                        default=0, help_text="The attempt of the claim that may write: the fence."
                    ),
                ),
                ("key_id", models.UUIDField(help_text="The API key that attached it; its budget pays.", null=True)),
                ("reservation_id", models.UUIDField(help_text="The hold of the run under way.", null=True)),
                (
                    "parts_left",
                    models.PositiveIntegerField(db_default=0, default=0, help_text="Parts that it waits for."),
                ),
                ("pages_done", models.PositiveIntegerField(db_default=0, default=0, help_text="Pages that are read.")),
                (
                    "pages_total",
                    models.PositiveIntegerField(help_text="Null: no pages, or not looked at yet.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("completed_at", models.DateTimeField(null=True)),
                (
                    "file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attachments",
                        to="knowledge.file",
                    ),
                ),
                (
                    "replaces",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        help_text="The version that answers until this one is completed, and vanishes then.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="knowledge.vectorstorefile",
                    ),
                ),
                (
                    "store",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attachments",
                        to="knowledge.vectorstore",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "file"], name="knowledge_store_file_by_file"),
                    models.Index(fields=["tenant", "store", "state", "file"], name="knowledge_store_file_states"),
                    models.Index(
                        condition=models.Q(("state", "completed"), _negated=True),
                        fields=["tenant", "state", "id"],
                        name="knowledge_store_file_undone",
                    ),
                    models.Index(
                        condition=models.Q(("allowed_groups__isnull", False)),
                        fields=["tenant", "store"],
                        name="knowledge_restricted_file",
                    ),
                    models.Index(
                        condition=models.Q(("replaces__isnull", False)),
                        fields=["tenant", "replaces"],
                        name="knowledge_store_file_versions",
                    ),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_vectorstorefile_owned"),
                    tenants.row_security.TenantForeignKey(field="replaces", name="knowledge_vectorstorefile_replaces"),
                    tenants.row_security.TenantForeignKey(field="store", name="knowledge_vectorstorefile_store"),
                    tenants.row_security.TenantForeignKey(field="file", name="knowledge_vectorstorefile_file"),
                    models.UniqueConstraint(fields=("tenant", "store", "file"), name="knowledge_vectorstorefile_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Chunk",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("ordinal", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("start", models.PositiveIntegerField()),
                ("end", models.PositiveIntegerField()),
                ("page", models.PositiveIntegerField(null=True)),
                ("heading", models.TextField(null=True)),
                ("tokens", models.PositiveIntegerField()),
                (
                    "language",
                    models.CharField(
                        db_default="english",
                        default="english",
                        help_text="The text search configuration that stems it.",
                        max_length=16,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                (
                    "store_file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="knowledge.vectorstorefile",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_chunk_owned"),
                    tenants.row_security.TenantForeignKey(field="store_file", name="knowledge_chunk_store_file"),
                    models.UniqueConstraint(fields=("tenant", "store_file", "ordinal"), name="knowledge_chunk_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="ChunkTerms",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("store_id", models.UUIDField()),
                ("store_file_id", models.UUIDField()),
                ("weights", pgvector.django.sparsevec.SparseVectorField(dimensions=268435456)),
                ("length", models.PositiveIntegerField(help_text="Terms with repetition, without stop words.")),
                (
                    "chunk",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.chunk",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "store_id", "store_file_id"], name="knowledge_chunkterms_scan")
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_chunkterms_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="chunk", name="knowledge_chunkterms_chunk"
                    ),
                    models.UniqueConstraint(fields=("tenant", "chunk"), name="knowledge_chunkterms_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Embedding",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("passage", models.PositiveSmallIntegerField()),
                ("start", models.PositiveIntegerField(db_default=0, default=0)),
                ("end", models.PositiveIntegerField(db_default=0, default=0)),
                ("store_id", models.UUIDField()),
                ("store_file_id", models.UUIDField()),
                ("embedding", pgvector.django.halfvec.HalfVectorField()),
                (
                    "chunk",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.chunk",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                (
                    "space",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="knowledge.space",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["tenant", "space", "store_id", "store_file_id"], name="knowledge_embedding_scan"
                    )
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_embedding_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="chunk", name="knowledge_embedding_chunk"
                    ),
                    tenants.row_security.TenantForeignKey(field="space", name="knowledge_embedding_space"),
                    models.UniqueConstraint(
                        fields=("tenant", "chunk", "space", "passage"), name="knowledge_embedding_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FileBatchEntry",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "batch",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="entries",
                        to="knowledge.filebatch",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                (
                    "store_file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="knowledge.vectorstorefile",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "store_file"], name="knowledge_filebatch_by_file")],
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_filebatchentry_owned"),
                    tenants.row_security.TenantForeignKey(field="batch", name="knowledge_filebatchentry_batch"),
                    tenants.row_security.TenantForeignKey(
                        field="store_file", name="knowledge_filebatchentry_store_file"
                    ),
                    models.UniqueConstraint(
                        fields=("tenant", "batch", "store_file"), name="knowledge_filebatchentry_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="IngestionPart",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(choices=[("read", "Read"), ("embed", "Embed")], max_length=5)),
                ("number", models.PositiveIntegerField()),
                ("first", models.PositiveIntegerField(default=0)),
                ("last", models.PositiveIntegerField(default=0)),
                ("passages", models.JSONField(default=list)),
                ("done", models.BooleanField(default=False)),
                ("result", models.JSONField(null=True)),
                ("vectors", models.BinaryField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("claim", models.PositiveIntegerField(default=0)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                (
                    "store_file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="knowledge.vectorstorefile",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="knowledge_ingestionpart_owned"),
                    tenants.row_security.TenantForeignKey(
                        field="store_file", name="knowledge_ingestionpart_store_file"
                    ),
                    models.UniqueConstraint(
                        fields=("tenant", "store_file", "kind", "number"), name="knowledge_ingestionpart_once"
                    ),
                ]
            },
        ),
    ]
