"""Finance over REST, in OpenAI's shape: usage and costs by time bucket. Aggregates of the ledger, exact to the last digit.

Two readers: a tenant's key reads its own (organization = tenant, project = app, which is one of its keys); a platform key
with the scope `finance` reads all tenants (organization = platform, project = tenant), and beside what each is charged
sees what the platform pays. Amounts are JSON numbers with all their digits; who sums money should read them as decimals.

    queries    what can be asked for
    cursors    pages, bound to the reader and the query
    results    the objects that are answered
    views      the endpoints
"""
