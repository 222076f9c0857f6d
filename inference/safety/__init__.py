"""Safety per tenant: screens on messages, on retrieved passages and on answers, by a policy that the tenant writes.

    policy         what a tenant may write; compiled: its screens made ready
    policies       the rows: versions, remembered for a moment
    screens/       what finds what, and what each cannot do
    text           a text under screens, whole or as it grows; nothing of a blocked or masked find comes out
    messages       requests and passages; output: answers, plain and streamed, with tool calls
    moderation     upstream models that judge a text
    verdicts       what was found, without content; written before the call is settled
    guarding       all of it for one call

Without a policy nothing is looked at and nothing held back. The screens are heuristics: they lower a risk, they do not
end it. What an answer may carry out of the house is limited elsewhere too (`inference.outbound`, `grounded_output`).
"""
