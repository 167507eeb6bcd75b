"""Gateway keys and tokens that may read: what they say, and how they are kept."""
