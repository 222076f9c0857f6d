"""Ingestion: an attached file becomes searchable chunks. `runs.py` tells the story; a task makes these calls."""

from .beginnings import recover
from .company import here
from .endings import MAX_ATTEMPTS
from .runs import claim_next, run

__all__ = ["MAX_ATTEMPTS", "claim_next", "here", "recover", "run"]
