"""One file per provider, each exporting ``PROVIDER``; found by scan (:mod:`gateway.providers.registry`)."""
