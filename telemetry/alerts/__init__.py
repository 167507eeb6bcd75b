"""Alerts: rules as data, pure decisions over facts, and the channels that carry them out."""
