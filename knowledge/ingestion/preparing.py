"""What happens to a document's text between reading and cutting, by the settings of the store it is attached to.

The text is kept once for each `preparation_of` a store: offsets of chunks are offsets into the prepared text.
"""

from ..models import VectorStore
from ..parsing.documents import ParsedDocument
from ..preparation.redaction import redacted_document
from ..preparation.settings import name_of, redaction_of

#: The text as it was read.
AS_READ = ""


def preparation_of(store: VectorStore) -> str:
    """The name of what `prepare` does for this store: equal names, equal text."""
    return name_of(store.preparation)


def prepare(document: ParsedDocument, store: VectorStore) -> ParsedDocument:
    """The text as this store shall hold it, with the pages' places in it. Called outside every scope, for any store
    whose preparation has a name; a document is prepared once and then kept under that name.

    Raises:
        UnreadableFile: it could not be done, so the text must not enter the store.
    """
    redaction = redaction_of(store.preparation)
    return document if redaction is None else redacted_document(document, redaction)
