"""What a webhook can tell of. Names and shapes are OpenAI's where OpenAI has the event."""

#: Type → when it is sent; `data.id` is the id of the object that it happened to.
EVENT_TYPES: dict[str, str] = {
    "response.completed": "A background response is there.",
    "response.failed": "A background response ended in an error.",
    "response.cancelled": "A background response was cancelled.",
    "response.incomplete": "A background response ended early, by its limit of tokens or a content filter.",
    "batch.completed": "All calls of a batch have ended; the output file is there.",
    "batch.failed": "A batch could not be run: its input file is not valid.",
    "batch.expired": "A batch did not end within its completion window.",
    "batch.cancelled": "A batch was cancelled, and its calls have ended.",
    "file.processed": "A file is ready for search in a vector store.",
    "file.failed": "A file could not be fetched, or not be made ready for search in a vector store.",
    "budget.alert": "A budget reached one of the shares that it warns at.",
    "statement.closed": "The statement of a month was closed.",
    "report.ready": "A report that was asked for, or is made on a schedule, can be fetched.",
    "meter.recorded": "What a meter counted in an hour that is over, in the shape of Stripe's meter events.",
    "webhook.test": "Somebody asked for a test; sent to the endpoint that it was asked of, whatever it wants.",
}
#: Wanted by name only in an endpoint's list: everything, of today and of later versions.
EVERYTHING = "*"
TEST = "webhook.test"
