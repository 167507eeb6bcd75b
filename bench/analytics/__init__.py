"""How fast questions over many calls are answered: ``python -m bench.analytics``."""
