"""Prompts and answers that were captured: a table of its own, that nothing else needs."""
