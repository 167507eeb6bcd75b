"""Alerts at work: what the settings ask for, evaluated and delivered by the leader's jobs."""
