"""``python -m gateway``: the same as ``weighbridge``."""

from gateway.cli.group import main

if __name__ == "__main__":
    main(prog_name="weighbridge")
