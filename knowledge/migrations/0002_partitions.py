from django.db import migrations

BUCKETS = 16
# Rows stay inline up to a page's size: vectors of more than 1,000 dimensions would otherwise be fetched one by one from
# beside the table on every scan.
ROWS_INLINE = "toast_tuple_target = 8160"


def _partition(model, schema_editor):
    """Make an empty table anew, spread over buckets (see `knowledge.partitions`), with its keys, policies and indexes.

    Django makes no partitioned tables, and Postgres turns no plain one into one.
    """
    table = model._meta.db_table
    execute = schema_editor.execute
    execute(f"ALTER TABLE {table} RENAME TO {table}_flat")
    execute(
        f"CREATE TABLE {table} (LIKE {table}_flat INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (tenant_id)"
    )
    for number in range(BUCKETS):
        bucket = f"{table}_b{number:02d}"
        execute(
            f"CREATE TABLE {bucket} PARTITION OF {table} FOR VALUES WITH (MODULUS {BUCKETS}, REMAINDER {number}) "
            "PARTITION BY LIST (tenant_id)"
        )
        execute(f"CREATE TABLE {bucket}_shared PARTITION OF {bucket} DEFAULT WITH ({ROWS_INLINE})")
    execute(f"DROP TABLE {table}_flat")
    execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (tenant_id, id)")
    for constraint in model._meta.constraints:
        schema_editor.add_constraint(model, constraint)
    for index in model._meta.indexes:
        schema_editor.add_index(model, index)


def partition(apps, schema_editor):
    for name in ("Embedding", "ChunkTerms"):
        _partition(apps.get_model("knowledge", name), schema_editor)


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial")]

    operations = [migrations.RunPython(partition, migrations.RunPython.noop)]
