"""One file per wire format, each exporting ``WIRE``; found by scan (:mod:`gateway.wire.registry`)."""
