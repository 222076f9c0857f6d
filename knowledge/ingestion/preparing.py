"""What happens to a document's text between reading and cutting, by the settings of the store it is attached to.

The text is kept once for each `preparation_of` a store: offsets of chunks are offsets into the prepared text.
"""

from ..models import VectorStore
from ..parsing.documents import ParsedDocument

#: The text as it was read.
AS_READ = ""


def preparation_of(store: VectorStore) -> str:
    """The name of what `prepare` does for this store: equal names, equal text."""
    return AS_READ


def prepare(document: ParsedDocument, store: VectorStore) -> ParsedDocument:
    """The text as this store shall hold it, with the pages' places in it. Called outside every scope, for any store
    whose preparation has a name; a document is prepared once and then kept under that name.
    """
    return document
