"""Which files of the asked stores may answer: those whose attributes match the filters."""

from uuid import UUID

from ..filters import Fragment, compile_filter
from .questions import Question

#: For the lists: a condition on their rows, where a question limits what may answer.
CONDITION = "AND store_file_id IN (SELECT id FROM matching)"
_MATCHING = """
matching AS MATERIALIZED (
  SELECT id FROM knowledge_vectorstorefile f WHERE tenant_id = %s AND store_id = ANY (%s::uuid[]) AND {condition})"""


def matching(question: Question, tenant_id: UUID) -> Fragment | None:
    """The table `matching (id)` of store files that may answer; None: all of them.

    Raises:
        InvalidFilter: see `filters`.
    """
    if not question.filters:
        return None
    condition, values = compile_filter(question.filters, column="f.attributes")
    return _MATCHING.format(condition=condition), [tenant_id, question.store_ids, *values]
