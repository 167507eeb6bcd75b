"""``weighbridge optouts``: taken down, listed by digest, taken back."""

from __future__ import annotations

import json

from rig.ledger import record

from gateway.cli.exits import Exit

from .conftest import Weighbridge, put_records


def test_somebody_opts_out_and_in_again(weighbridge: Weighbridge) -> None:
    assert weighbridge("optouts").exit_code == Exit.UNREACHABLE
    made = weighbridge("optouts", "add", "ada")
    assert made.exit_code == 0, made.output
    digest = made.stdout.removeprefix("Opted out: ").strip()
    assert len(digest) == 32
    assert "weighbridge erase-user" in made.stderr
    assert weighbridge("optouts", "add", "ada").stdout == f"Had opted out already: {digest}\n"
    shown = weighbridge("optouts").stdout
    assert digest in shown
    assert "every" in shown
    assert "ada" not in shown.replace(digest, "")
    assert json.loads(weighbridge("optouts", "list", "--json").stdout)["digest"] == digest
    put_records(record(1))
    assert "ada" not in weighbridge("calls", "--json").stdout
    assert weighbridge("optouts", "remove", "ada", "--tenant", "acme").exit_code == Exit.PROBLEM
    assert weighbridge("optouts", "remove", "ada").stdout == "Opted in again.\n"
    assert weighbridge("optouts").stdout == "Nobody has opted out.\n"
    put_records(record(2))
    assert "ada" in weighbridge("calls", "--json").stdout
