"""What apps import: :mod:`weighbridge.client`. Needs nothing of the gateway but aiohttp."""
