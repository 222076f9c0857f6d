import django.db.models.deletion
import pgvector.django.halfvec
from django.db import migrations, models

import tenants.ids
import tenants.row_security

# Django makes no partitioned tables, and Postgres turns no plain one into one. Rows stay inline up to a page's size:
# vectors of more than 1,000 dimensions would otherwise be fetched one by one from beside the table on every scan.
PARTITIONED_TABLE = """
CREATE TABLE knowledge_embedding (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    space_id uuid NOT NULL,
    chunk_id uuid NOT NULL,
    passage smallint NOT NULL CONSTRAINT knowledge_embedding_passage_check CHECK (passage >= 0),
    store_id uuid NOT NULL,
    store_file_id uuid NOT NULL,
    embedding halfvec NOT NULL,
    CONSTRAINT knowledge_embedding_pkey PRIMARY KEY (tenant_id, id)
) PARTITION BY LIST (tenant_id);
CREATE TABLE knowledge_embedding_default PARTITION OF knowledge_embedding DEFAULT WITH (toast_tuple_target = 8160);
ALTER TABLE knowledge_chunkterms SET (toast_tuple_target = 8160);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0001_initial"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            PARTITIONED_TABLE,
            reverse_sql="DROP TABLE knowledge_embedding",
            state_operations=[
                migrations.CreateModel(
                    name="Embedding",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("passage", models.PositiveSmallIntegerField()),
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
                                db_constraint=False,
                                db_index=False,
                                editable=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="tenants.tenant",
                            ),
                        ),
                    ],
                ),
            ],
        ),
        migrations.AddConstraint("embedding", tenants.row_security.TenantOwned(name="knowledge_embedding_owned")),
        migrations.AddConstraint(
            "embedding", tenants.row_security.TenantForeignKey(field="chunk", name="knowledge_embedding_chunk")
        ),
        migrations.AddConstraint(
            "embedding", tenants.row_security.TenantForeignKey(field="space", name="knowledge_embedding_space")
        ),
        migrations.AddConstraint(
            "embedding",
            models.UniqueConstraint(fields=("tenant", "chunk", "space", "passage"), name="knowledge_embedding_once"),
        ),
        migrations.AddIndex(
            "embedding",
            models.Index(fields=["tenant", "space", "store_id", "store_file_id"], name="knowledge_embedding_scan"),
        ),
    ]
