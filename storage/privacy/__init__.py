"""What is kept of one person: told to them, and erased. Begin reading at ``erase.py``."""
