"""Where the rows that search scans lie: small tenants together, a large one by itself with an index of its own.

Vectors and terms are spread over 16 buckets by a hash of the tenant; in a bucket, tenants share a leaf that is scanned
exactly, until one crosses `settings.PARTITION_ROWS`: then its vectors get a leaf of their own, with an IVFFlat index for
each of its spaces. They go back when it shrinks below `settings.PARTITION_ROWS_BACK`. (Terms stay in the shared leaves of
theirs and are scanned exactly.) No index over content is ever shared between tenants: a shared one finds too little for
tenants off the common topics, and its times tell what others store.

`tend()` does all of it, with the owner's rights, one run at a time. It guarantees:

- A search is right at every moment: rows change places in one transaction that nobody sees half of.
- While a tenant moves, its writes wait (seconds); the reads and writes of its bucket's tenants wait for the moment of
  the switch; everybody else notices nothing. Where a lock cannot be had at once it is asked for again later.
- A run that dies leaves at most a table that is not part of anything; the next run drops it and starts again.

    layout    names and shapes
    census    who is large, who is small
    moves     to a leaf of one's own and back
    indexes   what a leaf of one's own is indexed by
    upkeep    all of it, in order
"""

from .upkeep import NotOwner, Upkeep, tend

__all__ = ["NotOwner", "Upkeep", "tend"]
