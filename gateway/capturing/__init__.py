"""Prompts and answers that are kept where somebody switched it on. Begin reading at ``rules.py``."""
