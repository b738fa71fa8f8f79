"""The table of what runs ask for and took."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.settings import bill, load_study


def test_it_is_there_before_the_data_and_shows_what_was_measured(
    paper: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "finetuning/full/qwen2.5-vl-7b/uniform-8/seed-1"
    run.mkdir(parents=True)
    measured = {"hours": 1.23, "gpu_hours": 4.56, "peak_memory_bytes": 41e9, "result_bytes": 16.6e9, "mfu": 0.4123}
    (run / "summary.json").write_text(json.dumps(measured))
    bill.main(["--config", json.dumps(paper), "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if "seed-" in line}
    assert len(lines) == 36
    assert lines["full/qwen2.5-vl-72b/uniform-16/seed-3"][:3] == ["32", "4", "1024"]
    finished = lines["full/qwen2.5-vl-7b/uniform-8/seed-1"]
    assert finished[-5:] == ["1.23", "4.56", "41", "16.6", "41.2%"]
    assert lines["full/qwen2.5-vl-72b/uniform-16/seed-3"][-5:] == ["-"] * 5
    total = sum(row["asked"].gpu_hours for row in bill.rows(load_study(paper), tmp_path))
    assert f"{total:,.0f}" in next(line for line in printed.splitlines() if "total" in line)
    assert "1 done" in printed
