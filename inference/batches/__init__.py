"""Batches: a file of calls, answered within a day, at the price of the calls.

    validating → in_progress → finalizing → completed | expired; → failed; → cancelling → cancelled

The rows are the truth. A driver (`driving`, queue `batches`) validates the file, feeds its lines a window at a time
(`feeding`), and writes the output (`results`); each of its steps can run twice. A line becomes a generation (`admission`
as for any call, without rate limits) on the queue `batch_lines`, which the generation workers claim behind everything
that somebody waits for; what became of it is written in the transaction that settles it (`sql/batches.sql`), so a line
that ended never runs again.
"""
