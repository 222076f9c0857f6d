"""The quality of search, measured through the API on collections with relevance judgements."""
