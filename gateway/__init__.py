"""What acts: proxy, wire formats, providers, identity, HTTP API, CLI, settings."""
