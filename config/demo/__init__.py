"""The demo: documents of a fictional instrument maker, and questions whose answers can be checked."""
