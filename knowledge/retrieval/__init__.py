"""Hybrid search: what a tenant's stores say about a query.

Two kinds of lists are made in one statement: by meaning (`dense`) and by words (`lexical`); `fusion` makes one ranking
of them. Several wordings of a query make several lists of each kind. The scans read the rows of the stores that are
asked, so no tenant's size or vocabulary shows in another's answers or times.

    questions   a search, checked before anything is spent on it
    matching    which files of the stores may answer
    dense, lexical, fusion   the SQL of the lists and of their fusion
    rewriting   queries in a model's words, where that is asked for
    reranking   the second look of a model, where one is named
    searching   all of it in one statement
    metered     a search that somebody pays for
"""

from .metered import metered_search
from .passages import Passage, SearchResult
from .questions import Question, prepare
from .searching import answer, search

__all__ = ["Passage", "Question", "SearchResult", "answer", "metered_search", "prepare", "search"]
