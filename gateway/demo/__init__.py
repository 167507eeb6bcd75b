"""A provider that costs nothing and sample traffic, so that everything can be seen without a key."""
