"""The script for machines with a GPU runs on a CPU too, with a small selection."""

from __future__ import annotations

from tests.gpu import GOLDEN, main


def test_the_table_has_a_row_per_model(capsys):
    arguments = ["--device", "cpu", "--models", "tiny", "--frames", "1", "--warmup", "1", "--size", "96x64"]
    assert main([*arguments, "--golden", str(GOLDEN / "release_keys")]) == 0
    printed = capsys.readouterr().out
    assert "groups within tolerance" in printed
    row = printed.splitlines()[-1]
    assert row.startswith("| tiny | fp32 | 256x160 |")
    assert row.split(" | ")[5] == "-"
