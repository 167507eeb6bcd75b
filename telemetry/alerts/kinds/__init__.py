"""Kinds of rules: one file each, exporting ``KIND``."""
