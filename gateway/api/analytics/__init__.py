"""Answers about many calls: what was spent, on what, by whom, how fast, and was it worth it.

Begin reading at ``query.py`` (what every endpoint can be asked), ``asking.py`` (how it is answered) and ``costs.py``.
"""
