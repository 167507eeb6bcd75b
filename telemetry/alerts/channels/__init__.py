"""Channels that carry alerts: one file each, exporting ``CHANNEL``."""
