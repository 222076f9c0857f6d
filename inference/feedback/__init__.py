"""Feedback on answers, kept for evaluation and fine-tuning.

`giving` takes, changes and erases what a rater says of an answer; `datasets` makes examples of it. A rating, a comment
and a correction are kept until they are deleted. The exchange itself is not copied: it stays with its generation, for
as long as the tenant keeps prompts and answers, or those with feedback (`Tenant.feedback_retention_days`); when it has
gone, the feedback remains and makes no example any more. Nothing is kept that the tenant does not keep: where its
retention is 0 days, or a client asked for `store: false` on a response, there never is an exchange.
"""
