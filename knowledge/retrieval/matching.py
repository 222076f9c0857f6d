"""Which files of the asked stores may answer: those that the caller may find and whose attributes match the filters."""

from uuid import UUID

from ..access import ALLOWED
from ..filters import Fragment, compile_filter
from .questions import Question

#: For the lists: a condition on their rows, where a question limits what may answer.
CONDITION = "AND store_file_id IN (SELECT id FROM matching)"
#: The same, to be asked of one row after another: the other one may become a join, which loses an index's order.
CONDITION_BY_ROW = "AND (store_file_id IN (SELECT id FROM matching)) IS TRUE"
_MATCHING = """
matching AS MATERIALIZED (
  SELECT id, chunk_count FROM knowledge_vectorstorefile f
   WHERE tenant_id = %s AND store_id = ANY (%s::uuid[]) AND {condition})"""


def matching(question: Question, tenant_id: UUID) -> Fragment | None:
    """The table `matching (id, chunk_count)` of store files that may answer; None: all of them.

    Raises:
        InvalidFilter: see `filters`.
    """
    parts: list[Fragment] = []
    if question.restricted:
        parts.append((ALLOWED, [question.groups]))
    if question.filters:
        parts.append(compile_filter(question.filters, column="f.attributes"))
    if not parts:
        return None
    condition = " AND ".join(sql for sql, _ in parts)
    values = [value for _, parameters in parts for value in parameters]
    return _MATCHING.format(condition=condition), [tenant_id, question.store_ids, *values]
