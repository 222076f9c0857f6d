"""Credentials of Amazon Bedrock, and servers that speak /responses only."""

import django.core.validators
from django.db import migrations, models

import tenants.encryption


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0003_rerank_models"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="access_key_id",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="deployment",
            name="region",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Of Amazon Bedrock.",
                max_length=32,
                validators=[
                    django.core.validators.RegexValidator("^[a-z]{2,}(-[a-z]+)+-[0-9]$", "Such as eu-central-1.")
                ],
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="secret_access_key",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="deployment",
            name="session_token",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="access_key_id",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="region",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Of Amazon Bedrock.",
                max_length=32,
                validators=[
                    django.core.validators.RegexValidator("^[a-z]{2,}(-[a-z]+)+-[0-9]$", "Such as eu-central-1.")
                ],
            ),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="secret_access_key",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="session_token",
            field=tenants.encryption.EncryptedTextField(blank=True, default=""),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="base_url",
            field=models.CharField(
                blank=True,
                default="",
                help_text="With /v1 where the server has it. Of Amazon Bedrock only where it is not the region's own.",
                max_length=500,
                validators=[django.core.validators.URLValidator(["http", "https"])],
            ),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="provider",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="deployment",
            name="upstream_model",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Also the ARN of a custom model or of an inference profile.",
                max_length=2048,
            ),
        ),
        migrations.AlterField(
            model_name="tenantdeployment",
            name="base_url",
            field=models.CharField(
                blank=True,
                default="",
                help_text="With /v1 where the server has it. Of Amazon Bedrock only where it is not the region's own.",
                max_length=500,
                validators=[django.core.validators.URLValidator(["http", "https"])],
            ),
        ),
        migrations.AlterField(
            model_name="tenantdeployment",
            name="provider",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="tenantdeployment",
            name="upstream_model",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Also the ARN of a custom model or of an inference profile.",
                max_length=2048,
            ),
        ),
    ]
