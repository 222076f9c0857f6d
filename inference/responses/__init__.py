"""The Responses API and Conversations (wire.md): another form of asking and answering than chat completions.

A response is a `Generation` of kind `response`. Its row keeps the request with the input in its full form and, once it
has ended, the whole `Response` object; what came before it (`previous_response_id`, `conversation`, item references) is
kept as a reference and read again by the worker, so nothing is copied from turn to turn.

    requests       the body of POST /v1/responses
    items          input items: checked, given ids, shown
    history        what came before: read, with the caller's right to see it
    trimming       the oldest left out where the context window is too small
    chat_form      items and request as a chat request, the canonical form inside
    output_items   the items of an answer as they grow, and their events
    transcript     the events of a stream and the whole object
    objects        the `Response` object
    kept           retrieve, delete, cancel, input items
    conversations  items over many responses; one response at a time
"""
