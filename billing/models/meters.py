"""What is counted."""

from django.db import models


class Meter(models.TextChoices):
    """What is counted. Meters of one call never count the same token twice."""

    #: Input that the provider did not find in its prompt cache.
    INPUT_TOKENS = "input_tokens"
    #: Input that it did find there; at the input price where the model has no price of its own for it.
    CACHED_INPUT_TOKENS = "cached_input_tokens"
    #: What the model answered.
    OUTPUT_TOKENS = "output_tokens"
    #: What it wrote for itself before; at the output price where the model has no price of its own for it.
    REASONING_TOKENS = "reasoning_tokens"
    EMBEDDING_TOKENS = "embedding_tokens"
    #: Answers from the response cache, each at the price that plan or contract have for it.
    CACHE_HITS = "cache_hits"
    #: Texts that a moderation model looked at.
    MODERATION_CALLS = "moderation_calls"
    #: Pages of documents that were read by optical character recognition.
    OCR_PAGES = "ocr_pages"
    #: Bytes of files and vectors times the hours for which they were kept; 10⁹ of them are shown as a GB-hour.
    STORAGE_BYTE_HOURS = "storage_byte_hours"
    #: Searches of vector stores.
    SEARCH_CALLS = "search_calls"
    #: Tokens that a fine-tuning job trained on, each epoch counted.
    FINE_TUNING_TOKENS = "fine_tuning_tokens"
    #: A call whose worker died after dispatch: charged at its hold until the provider's bill says more.
    UNRECONCILED = "unreconciled"
