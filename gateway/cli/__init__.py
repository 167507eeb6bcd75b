"""The command line: one file per command, each exporting ``COMMAND``; found by scan (:mod:`gateway.cli.group`)."""
