"""A store moves into another space: another embedding model, or another version of its own.

Its chunks are embedded anew in the background, in units of some hundred, each charged when it is written; search keeps
using the space before. When no chunk lacks a vector the store switches, in one transaction under the lock that
completions of files take too: a file that is ingested meanwhile is caught up before, and a run that embedded for the
space before begins anew after. Then the vectors of other spaces are removed in bounded steps. A failure leaves the
space before serving, says why, and keeps what was made: asking again goes on from there.

    requests   a change of model, asked for and reported
    units      claimed, run to its end, recovered
    passages   what a unit embeds, and how it is written
    switching  the moment of the change, and the cleaning after it
"""

from .requests import Progress, begin, progress_of
from .units import claim_next, recover, run

__all__ = ["Progress", "begin", "claim_next", "progress_of", "recover", "run"]
