"""One number that rises whenever a fusion plan may have become wrong.

Plans are rebuilt when the number differs from the one they were built under. A new value of a
parameter raises it too, since some plans hold packed weights. A change that cannot concern a plan
(a counter that a user's forward keeps in an attribute, a buffer) does not raise it.
"""

from __future__ import annotations

import itertools

EPOCH = [0]
_next = itertools.count(1).__next__  # atomic, as += is not: no number is ever given twice


def touch() -> None:
    """Call after the change, so that a plan built during it is rebuilt."""
    EPOCH[0] = _next()
