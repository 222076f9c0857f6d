"""What it says: models, routing, providers, answering, streaming."""
