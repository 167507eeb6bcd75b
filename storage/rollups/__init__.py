"""Sums of calls by hour, by day and by user: what is spent, used and waited for, without reading every call.

Begin reading at ``delta.py`` (what a batch adds up to), ``compaction.py`` (where it goes) and ``read.py``.
"""
