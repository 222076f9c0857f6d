from decimal import Decimal

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import inference.models.catalogue
import tenants.encryption
import tenants.ids
import tenants.row_security


class Migration(migrations.Migration):
    initial = True
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("validating", "Validating"),
                            ("failed", "Failed"),
                            ("in_progress", "In Progress"),
                            ("finalizing", "Finalizing"),
                            ("completed", "Completed"),
                            ("expired", "Expired"),
                            ("cancelling", "Cancelling"),
                            ("cancelled", "Cancelled"),
                        ],
                        db_default="validating",
                        default="validating",
                        max_length=16,
                    ),
                ),
                ("endpoint", models.CharField(max_length=64)),
                ("input_file_id", models.UUIDField()),
                ("input_bytes", models.BigIntegerField()),
                ("key_id", models.UUIDField()),
                (
                    "groups",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=128),
                        default=list,
                        help_text="The caller's, when it was made.",
                        size=None,
                    ),
                ),
                ("metadata", models.JSONField(null=True)),
                (
                    "model",
                    models.CharField(
                        blank=True, default="", help_text="Of all lines, where it is one.", max_length=200
                    ),
                ),
                ("errors", models.JSONField(db_default=[], default=list)),
                ("total", models.PositiveIntegerField(default=0)),
                ("completed", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("usage", models.JSONField(null=True)),
                ("next_line", models.PositiveIntegerField(default=1)),
                ("next_byte", models.BigIntegerField(default=0)),
                ("output_file_id", models.UUIDField(null=True)),
                ("error_file_id", models.UUIDField(null=True)),
                (
                    "output_seconds",
                    models.PositiveIntegerField(help_text="How long its output files are kept.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField()),
                ("counted_at", models.DateTimeField(help_text="When its driver last saw lines end.", null=True)),
                (
                    "failures",
                    models.PositiveSmallIntegerField(default=0, help_text="Steps of its driver that broke in a row."),
                ),
                ("in_progress_at", models.DateTimeField(null=True)),
                ("finalizing_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("expired_at", models.DateTimeField(null=True)),
                ("cancelling_at", models.DateTimeField(null=True)),
                ("cancelled_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={"constraints": [tenants.row_security.TenantOwned(name="inference_batch_owned")]},
        ),
        migrations.CreateModel(
            name="BatchLine",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField(help_text="From 1, as an editor counts.")),
                ("custom_id", models.CharField(max_length=512)),
                ("body", models.BinaryField(help_text="JSON, as the client wrote it.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("queued", "Queued"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("dropped", "Dropped"),
                        ],
                        db_default="waiting",
                        default="waiting",
                        max_length=16,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("not_before", models.DateTimeField(null=True)),
                ("generation_id", models.UUIDField(null=True)),
                ("answer", models.JSONField(null=True)),
                (
                    "status",
                    models.PositiveSmallIntegerField(help_text="The HTTP status that goes with the answer.", null=True),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="inference.batch",
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
                    models.Index(fields=["tenant", "batch", "state", "number"], name="inference_batchline_states"),
                    models.Index(
                        condition=models.Q(("state", "queued")),
                        fields=["tenant", "generation_id"],
                        name="inference_batchline_calls",
                    ),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_batchline_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="batch", name="inference_batchline_batch"
                    ),
                    models.UniqueConstraint(fields=("tenant", "batch", "number"), name="inference_batchline_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="CallHour",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour (UTC) in which they ended.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "took",
                    models.PositiveSmallIntegerField(
                        help_text="n: from 1.1ⁿ⁻¹ to 1.1ⁿ milliseconds. 0: not measured, for nobody waited or nothing was answered."
                    ),
                ),
                ("calls", models.BigIntegerField()),
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
                "indexes": [models.Index(fields=["start"], name="inference_callhour_all")],
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_callhour_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "start", "state", "took"), name="inference_callhour_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CallMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("up_to", models.DateTimeField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="inference_callmark_one")]
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("metadata", models.JSONField(db_default={}, default=dict)),
                ("next_position", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("busy_with", models.UUIDField(null=True)),
                ("busy_since", models.DateTimeField(null=True)),
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
            ],
            options={"constraints": [tenants.row_security.TenantOwned(name="inference_conversation_owned")]},
        ),
        migrations.CreateModel(
            name="ConversationItem",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("position", models.PositiveBigIntegerField()),
                ("item", models.JSONField()),
                (
                    "groups",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=128),
                        db_default=[],
                        default=list,
                        help_text="Of the caller whose answer from documents this is: who lacks one of them does not see it.",
                        size=None,
                    ),
                ),
                ("contents_until", models.DateTimeField(help_text="When the tenant's content retention ends for it.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="inference.conversation",
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
                "indexes": [models.Index(fields=["contents_until"], name="inference_convitem_expiry")],
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_conversationitem_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="conversation", name="inference_conversationitem_conversation"
                    ),
                    models.UniqueConstraint(
                        fields=("tenant", "conversation", "position"), name="inference_conversationitem_place"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Feedback",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation_id", models.UUIDField()),
                ("kind", models.CharField(help_text="The generation's, by which clients know its id.", max_length=16)),
                ("choice", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "rater",
                    models.CharField(help_text="`user:` and the end user, or `key:` and the API key.", max_length=210),
                ),
                ("end_user", models.CharField(blank=True, default="", max_length=200)),
                ("alias", models.CharField(help_text="The model as the call named it.", max_length=200)),
                ("prompt_version_id", models.UUIDField(null=True)),
                ("rating", models.SmallIntegerField(help_text="-1 down, 0 neither, 1 up.", null=True)),
                (
                    "correction",
                    models.JSONField(help_text="The assistant message that would have been better.", null=True),
                ),
                ("comment", models.TextField(blank=True, default="")),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), blank=True, db_default=[], default=list, size=None
                    ),
                ),
                ("answered_at", models.DateTimeField(help_text="When the call was made.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "feedback",
                "indexes": [
                    models.Index(fields=["tenant", "end_user"], name="inference_feedback_end_user"),
                    models.Index(fields=["tenant", "rating", "id"], name="inference_feedback_by_rating"),
                    models.Index(fields=["tenant", "alias", "id"], name="inference_feedback_by_alias"),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_feedback_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "generation_id", "choice", "rater"), name="inference_feedback_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rating__in", [-1, 0, 1])), name="inference_feedback_rating"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Generation",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("chat", "Chat"), ("embeddings", "Embeddings"), ("response", "Response")],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        db_default="queued",
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("key_id", models.UUIDField()),
                ("alias", models.CharField(max_length=200)),
                ("model", models.CharField(max_length=200)),
                ("request", models.JSONField(help_text="The body as validated; null once retention ends.", null=True)),
                (
                    "terms",
                    models.JSONField(help_text="What admission fixed: limits to give back, token bounds, retention."),
                ),
                ("answer", models.JSONField(null=True)),
                ("error", models.JSONField(null=True)),
                (
                    "end_user",
                    models.CharField(db_default="", default="", help_text="For whom the key called.", max_length=200),
                ),
                (
                    "trace",
                    models.JSONField(help_text="How its time went (`tracing`); nothing of its contents.", null=True),
                ),
                (
                    "found",
                    models.JSONField(
                        help_text="The passages that search found for it; they go with the contents.", null=True
                    ),
                ),
                (
                    "inbox",
                    models.CharField(
                        help_text="The web process that waits for it, or a log of its own.", max_length=100
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("finished_at", models.DateTimeField(null=True)),
                ("contents_until", models.DateTimeField(null=True)),
                (
                    "stored",
                    models.BooleanField(
                        db_default=False, default=False, help_text="A chat completion with `store: true`."
                    ),
                ),
                ("metadata", models.JSONField(help_text="Of a stored one; the client may change it.", null=True)),
                (
                    "prompt_version_id",
                    models.UUIDField(help_text="The version of the prompt that the call named.", null=True),
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
                "verbose_name": "request",
                "indexes": [
                    models.Index(
                        condition=models.Q(("request__isnull", False)),
                        fields=["contents_until"],
                        name="inference_generation_expiry",
                    ),
                    models.Index(
                        condition=models.Q(("finished_at__isnull", False)),
                        fields=["finished_at"],
                        name="inference_generation_ended",
                    ),
                    models.Index(
                        condition=models.Q(("stored", True)),
                        fields=["tenant", "id"],
                        name="inference_generation_stored",
                    ),
                    models.Index(fields=["tenant", "key_id", "id"], name="inference_generation_by_key"),
                    models.Index(fields=["tenant", "alias", "id"], name="inference_generation_by_alias"),
                    models.Index(fields=["tenant", "kind", "id"], name="inference_generation_by_kind"),
                    models.Index(
                        condition=models.Q(("end_user", ""), _negated=True),
                        fields=["tenant", "end_user", "id"],
                        name="inference_generation_by_user",
                    ),
                    models.Index(
                        condition=models.Q(("state__in", ["failed", "cancelled"])),
                        fields=["tenant", "state", "id"],
                        name="inference_generation_by_ending",
                    ),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="inference_generation_owned")],
            },
        ),
        migrations.CreateModel(
            name="InferenceAttempt",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation_id", models.UUIDField()),
                ("number", models.PositiveSmallIntegerField(help_text="Usage lines carry it as their attempt.")),
                ("deployment_id", models.UUIDField(null=True)),
                ("deployment", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField()),
                ("latency_ms", models.FloatField()),
                ("ttft_ms", models.FloatField(help_text="Until the first token.", null=True)),
                ("input_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("output_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24, null=True)),
                ("category", models.CharField(db_default="", default="", max_length=16)),
                ("code", models.CharField(db_default="", default="", max_length=100)),
                ("error_class", models.CharField(db_default="", default="", max_length=100)),
                ("retryable", models.BooleanField(null=True)),
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
                    models.Index(fields=["tenant", "generation_id"], name="inference_attempt_generation"),
                    models.Index(
                        condition=models.Q(("category", ""), _negated=True),
                        fields=["tenant", "category", "id"],
                        name="inference_attempt_failed",
                    ),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="inference_inferenceattempt_owned")],
            },
        ),
        migrations.CreateModel(
            name="Model",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=200, unique=True, validators=[inference.models.catalogue.not_a_variants]
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("chat", "Chat"),
                            ("embedding", "Embedding"),
                            ("rerank", "Rerank"),
                            ("moderation", "Moderation"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "context_window",
                    models.PositiveIntegerField(
                        help_text="Tokens, prompt and answer.", validators=[django.core.validators.MinValueValidator(1)]
                    ),
                ),
                (
                    "max_output_tokens",
                    models.PositiveIntegerField(default=4096, validators=[django.core.validators.MinValueValidator(1)]),
                ),
                ("dimensions", models.PositiveIntegerField(blank=True, help_text="Of an embedding model.", null=True)),
                ("owned_by", models.CharField(default="atrium", max_length=100)),
                (
                    "capabilities",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("vision", "Vision"),
                                ("tools", "Tools"),
                                ("json_schema", "Json Schema"),
                                ("logprobs", "Logprobs"),
                                ("n", "Choices"),
                            ],
                            max_length=16,
                        ),
                        blank=True,
                        db_default=["tools", "json_schema", "logprobs", "n"],
                        default=inference.models.catalogue.usual_capabilities,
                        help_text="Of a chat model. A request that needs another is refused before it costs anything.",
                        size=None,
                    ),
                ),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("weighted", "By weight"),
                            ("least_busy", "Fewest calls under way"),
                            ("fastest", "Fastest of late"),
                        ],
                        db_default="weighted",
                        default="weighted",
                        help_text="Which deployment is asked first.",
                        max_length=16,
                    ),
                ),
                ("out_of_service_since", models.DateTimeField(editable=False, null=True)),
                ("out_of_service_reason", models.CharField(db_default="", default="", editable=False, max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("name__startswith", "ft:"), _negated=True),
                        name="inference_model_no_variant",
                    )
                ]
            },
        ),
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("name", models.CharField(max_length=100)),
                (
                    "provider",
                    models.CharField(
                        choices=[
                            ("openai", "Openai Compatible"),
                            ("openai-responses", "OpenAI compatible, /responses only"),
                            ("bedrock", "Amazon Bedrock"),
                            ("local-extractive", "Local Extractive"),
                            ("local-minilm", "Local Minilm"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "base_url",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="With /v1 where the server has it. Of Amazon Bedrock only where it is not the region's own.",
                        max_length=500,
                        validators=[django.core.validators.URLValidator(["http", "https"])],
                    ),
                ),
                (
                    "upstream_model",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Also the ARN of a custom model or of an inference profile.",
                        max_length=2048,
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Of Amazon Bedrock.",
                        max_length=32,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z]{2,}(-[a-z]+)+-[0-9]$", "Such as eu-central-1."
                            )
                        ],
                    ),
                ),
                ("api_key", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("access_key_id", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("secret_access_key", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("session_token", tenants.encryption.EncryptedTextField(blank=True, default="")),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "max_concurrent",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Calls at once, of all workers together; more go to another deployment. Empty: no limit.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "health_check",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Ask it every half minute whether it is there, not only after it failed.",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="deployments", to="inference.model"
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="Fallback",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "fallback",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="inference.model"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="fallbacks", to="inference.model"
                    ),
                ),
            ],
            options={
                "ordering": ("position",),
                "constraints": [
                    models.UniqueConstraint(fields=("model", "position"), name="inference_fallback_position"),
                    models.UniqueConstraint(fields=("model", "fallback"), name="inference_fallback_once"),
                    models.CheckConstraint(
                        condition=models.Q(("model", models.F("fallback")), _negated=True),
                        name="inference_fallback_other",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OwnAccountPrice",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12,
                        max_digits=24,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per",
                    models.PositiveIntegerField(default=1000000, help_text="Units of the meter that `amount` buys."),
                ),
                ("valid_from", models.DateTimeField()),
                ("meter", models.CharField(max_length=32)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_ownaccountprice_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "model", "meter", "currency", "valid_from"),
                        name="inference_ownaccountprice_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0)), name="inference_ownaccountprice_not_negative"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="Prompt",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("description", models.CharField(blank=True, default="", max_length=2000)),
                (
                    "newest",
                    models.PositiveIntegerField(
                        default=0, editable=False, help_text="The number of its newest version."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("deleted_at", models.DateTimeField(editable=False, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_prompt_owned"),
                    models.UniqueConstraint(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=("tenant", "name"),
                        name="inference_prompt_name",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="PromptLabelMove",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("label", models.CharField(max_length=64)),
                ("from_number", models.PositiveIntegerField(null=True)),
                ("to_number", models.PositiveIntegerField(null=True)),
                ("by_type", models.CharField(max_length=16)),
                ("by_id", models.CharField(max_length=64)),
                (
                    "moved_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="moves",
                        to="inference.prompt",
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
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_promptlabelmove_owned"),
                    tenants.row_security.TenantForeignKey(field="prompt", name="inference_promptlabelmove_prompt"),
                ]
            },
        ),
        migrations.CreateModel(
            name="PromptVersion",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                (
                    "definition",
                    models.JSONField(
                        help_text="Messages, variables and defaults, as `inference.prompts.definition` reads."
                    ),
                ),
                ("note", models.CharField(blank=True, default="", help_text="What is new.", max_length=500)),
                ("created_by_type", models.CharField(max_length=16)),
                ("created_by_id", models.CharField(max_length=64)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="inference.prompt",
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
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_promptversion_owned"),
                    tenants.row_security.TenantForeignKey(field="prompt", name="inference_promptversion_prompt"),
                    models.UniqueConstraint(
                        fields=("tenant", "prompt", "number"), name="inference_promptversion_number"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="PromptLabel",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                (
                    "moved_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="labels",
                        to="inference.prompt",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="inference.promptversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_promptlabel_owned"),
                    tenants.row_security.TenantForeignKey(field="prompt", name="inference_promptlabel_prompt"),
                    tenants.row_security.TenantForeignKey(field="version", name="inference_promptlabel_version"),
                    models.UniqueConstraint(fields=("tenant", "prompt", "name"), name="inference_promptlabel_name"),
                ]
            },
        ),
        migrations.CreateModel(
            name="SafetyPolicy",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "alias",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The model, by its alias, that the policy is for. Empty: every model without one of its own.",
                        max_length=200,
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                (
                    "settings",
                    models.JSONField(
                        help_text="See the API's documentation. Null: removed, so that the general policy holds.",
                        null=True,
                    ),
                ),
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
            ],
            options={
                "verbose_name": "safety policy",
                "verbose_name_plural": "safety policies",
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_safetypolicy_owned"),
                    models.UniqueConstraint(fields=("tenant", "alias", "version"), name="inference_safetypolicy_once"),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)), name="inference_safetypolicy_from_one"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Screening",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation_id", models.UUIDField(help_text="The call.")),
                (
                    "stage",
                    models.CharField(
                        choices=[("input", "Input"), ("passages", "Passages"), ("output", "Output")], max_length=16
                    ),
                ),
                ("screen", models.CharField(max_length=32)),
                (
                    "action",
                    models.CharField(choices=[("block", "Block"), ("mask", "Mask"), ("flag", "Flag")], max_length=8),
                ),
                (
                    "categories",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("count", models.PositiveIntegerField()),
                (
                    "details",
                    models.JSONField(
                        default=list,
                        help_text="The first ten: category, place, span, and a keyed digest by which equal finds are seen.",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
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
                    models.Index(fields=["tenant", "generation_id"], name="inference_screening_call"),
                    models.Index(fields=["tenant", "-created_at"], name="inference_screening_recent"),
                    models.Index(fields=["tenant", "action", "id"], name="inference_screening_action"),
                    models.Index(fields=["tenant", "screen", "id"], name="inference_screening_screen"),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="inference_screening_owned")],
            },
        ),
        migrations.CreateModel(
            name="TenantDeployment",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                (
                    "provider",
                    models.CharField(
                        choices=[
                            ("openai", "Openai Compatible"),
                            ("openai-responses", "OpenAI compatible, /responses only"),
                            ("bedrock", "Amazon Bedrock"),
                            ("local-extractive", "Local Extractive"),
                            ("local-minilm", "Local Minilm"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "base_url",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="With /v1 where the server has it. Of Amazon Bedrock only where it is not the region's own.",
                        max_length=500,
                        validators=[django.core.validators.URLValidator(["http", "https"])],
                    ),
                ),
                (
                    "upstream_model",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Also the ARN of a custom model or of an inference profile.",
                        max_length=2048,
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Of Amazon Bedrock.",
                        max_length=32,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z]{2,}(-[a-z]+)+-[0-9]$", "Such as eu-central-1."
                            )
                        ],
                    ),
                ),
                ("api_key", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("access_key_id", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("secret_access_key", tenants.encryption.EncryptedTextField(blank=True, default="")),
                ("session_token", tenants.encryption.EncryptedTextField(blank=True, default="")),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "max_concurrent",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Calls at once, of all workers together; more go to another deployment. Empty: no limit.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "health_check",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Ask it every half minute whether it is there, not only after it failed.",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="inference.model"
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
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_tenantdeployment_owned"),
                    models.UniqueConstraint(fields=("tenant", "name"), name="inference_tenantdeployment_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Variant",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=64,
                        validators=[django.core.validators.RegexValidator("^[A-Za-z0-9][A-Za-z0-9._-]*$")],
                    ),
                ),
                (
                    "adapter",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="What the base's deployments know it as: a LoRA's name, or the ARN of a custom model of Bedrock.",
                        max_length=2048,
                    ),
                ),
                (
                    "by_tenant",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        editable=False,
                        help_text="Named by the tenant itself: then the tenant's own accounts serve it, and nobody else's.",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("training", "Training"),
                            ("evaluating", "Evaluating"),
                            ("candidate", "Candidate"),
                            ("canary", "Canary"),
                            ("live", "Live"),
                            ("retired", "Retired"),
                        ],
                        db_default="training",
                        default="training",
                        max_length=16,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="inference.model"
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
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_variant_owned"),
                    models.UniqueConstraint(fields=("tenant", "name"), name="inference_variant_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("adapter", ""), _negated=True),
                            ("state__in", ["training", "evaluating", "retired"]),
                            _connector="OR",
                        ),
                        name="inference_variant_adapter",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("alias", models.CharField(max_length=200)),
                (
                    "canary_share",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Percent of the end users (of the keys, where a call names no end user) that the canary answers.",
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                ("by_tenant", models.BooleanField(db_default=False, default=False, editable=False)),
                (
                    "fallbacks",
                    models.BooleanField(
                        db_default=True, default=True, help_text="Whether the model's fallbacks may answer instead."
                    ),
                ),
                (
                    "max_output_tokens",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="A cap below the model's own.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "default_max_tokens",
                    models.PositiveIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)]
                    ),
                ),
                ("default_temperature", models.FloatField(blank=True, null=True)),
                ("default_top_p", models.FloatField(blank=True, null=True)),
                ("min_temperature", models.FloatField(blank=True, null=True)),
                ("max_temperature", models.FloatField(blank=True, null=True)),
                (
                    "allowed_tools",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        help_text="Names of the functions that may be offered, and file_search. Empty list: none. Unset: all.",
                        null=True,
                        size=None,
                    ),
                ),
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
                    "canary_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="inference.model",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        help_text="What answers; of a variant, its base.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="inference.model",
                    ),
                ),
                (
                    "canary_variant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="inference.variant",
                    ),
                ),
                (
                    "variant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="inference.variant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_grant_owned"),
                    tenants.row_security.TenantForeignKey(field="variant", name="inference_grant_variant"),
                    tenants.row_security.TenantForeignKey(
                        field="canary_variant", name="inference_grant_canary_variant"
                    ),
                    models.UniqueConstraint(fields=("tenant", "alias"), name="inference_grant_once"),
                    models.CheckConstraint(
                        condition=models.Q(("canary_share__lte", 100)), name="inference_grant_share"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("canary_model__isnull", False),
                            models.Q(("canary_share", 0), ("canary_variant__isnull", True)),
                            _connector="OR",
                        ),
                        name="inference_grant_canary",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("min_temperature__isnull", True),
                            ("max_temperature__isnull", True),
                            ("min_temperature__lte", models.F("max_temperature")),
                            _connector="OR",
                        ),
                        name="inference_grant_temperature",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="CachedResponse",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("key", models.BinaryField(help_text="See `response_cache.keys`.", max_length=32)),
                ("answer", models.JSONField(help_text="{choices, usage}")),
                ("size_bytes", models.PositiveIntegerField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="inference.grant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["tenant", "created_at"], include=("size_bytes",), name="inference_cache_by_age"
                    ),
                    models.Index(fields=["tenant", "grant"], name="inference_cache_by_grant"),
                    models.Index(fields=["expires_at"], name="inference_cache_expiry"),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_cachedresponse_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="grant", name="inference_cachedresponse_grant"
                    ),
                    models.UniqueConstraint(fields=("tenant", "key"), name="inference_cachedresponse_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="CachePolicy",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "ttl_seconds",
                    models.PositiveIntegerField(
                        help_text="How long an answer is kept.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(2592000),
                        ],
                    ),
                ),
                (
                    "any_request",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Keep answers to requests that ask for no determinism (temperature 0 or a seed) too.",
                    ),
                ),
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
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="inference.grant",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "cache policies",
                "constraints": [
                    tenants.row_security.TenantOwned(name="inference_cachepolicy_owned"),
                    tenants.row_security.TenantForeignKey(
                        cascade=True, field="grant", name="inference_cachepolicy_grant"
                    ),
                    models.UniqueConstraint(fields=("tenant", "grant"), name="inference_cachepolicy_once"),
                    models.CheckConstraint(
                        condition=models.Q(("ttl_seconds__gte", 1), ("ttl_seconds__lte", 2592000)),
                        name="inference_cachepolicy_ttl",
                    ),
                ],
            },
        ),
    ]
