"""What it knows: files, vector stores, parsing, chunking, embedding, ingestion, retrieval."""
