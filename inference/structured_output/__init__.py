"""Answers that must match a JSON Schema: `response_format: {"type": "json_schema", "json_schema": {…}}`.

With `strict: true` Atrium looks at what the model wrote. An answer that does not match is repaired once: the model is
told what is wrong and asked again, paid out of the call's hold; if that does not help the call fails with
`invalid_structured_output`, charged for what was used. Of a stream nothing can be taken back, so it is checked at its
end and ends with an error event. Without `strict` the schema is the model's to follow, as OpenAI has it: it goes to the
upstream and nothing is checked. Refusals, tool calls and answers that were cut short are not checked either.

A schema is someone else's program: its size, references, patterns and the work that it makes are bounded (`schemas`,
`matching`).
"""

from .matching import Mismatch, mismatch
from .repairing import (
    REPAIR_BYTES,
    InvalidStructuredOutput,
    first_mismatch,
    may_be_repaired,
    repair_prompt,
    strict_schema,
)
from .schemas import check_response_format

__all__ = [
    "REPAIR_BYTES",
    "InvalidStructuredOutput",
    "Mismatch",
    "check_response_format",
    "first_mismatch",
    "may_be_repaired",
    "mismatch",
    "repair_prompt",
    "strict_schema",
]
