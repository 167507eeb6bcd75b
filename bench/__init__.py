"""The benchmark: the gateway beside nginx and a naive proxy, interleaved in one run. ``python -m bench --help``."""
