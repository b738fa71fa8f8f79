"""Commands fail in one line and show where they are."""

import argparse
import errno

import pytest

from workflow_scripts.settings import BenchmarkSettings, InputError, ModelSettings, Shares, to_json
from workflow_scripts.settings.cli import json_of, progress, run


def test_bad_input_is_one_line_and_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise InputError("file manifest.parquet: video a.mp4 is missing")

    with pytest.raises(SystemExit) as stopped:
        run(main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: file manifest.parquet: video a.mp4 is missing\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "results/smoke/frames/shard-0.arrow"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    def main() -> None:
        try:
            raise error
        except OSError as cause:
            raise RuntimeError("the file was not written") from cause

    with pytest.raises(SystemExit) as stopped:
        run(main)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: No space left on device")
    assert str(getattr(error, "filename", None) or "") in said
    assert len(said.splitlines()) == 1


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    def main() -> None:
        raise OSError(errno.EACCES, "Permission denied", "results")

    with pytest.raises(PermissionError):
        run(main)


def test_settings_travel_as_json() -> None:
    model = ModelSettings(name="its", family="qwen3-vl", source="it's a b", size_b=1.0)
    assert json_of(ModelSettings)(to_json(model)) == model
    assert json_of(Shares)("{}") == Shares()
    assert json_of(list[BenchmarkSettings])(to_json([])) == []


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ('{"formt": {}}', "formt"), ('{"format": {"a": 1}}', "format")]
)
def test_bad_settings_are_named(text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        json_of(Shares)(text)


def test_progress_without_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 6.0, 12.0, 14.0, 20.0])
    monkeypatch.setattr("workflow_scripts.settings.cli.time.monotonic", lambda: next(clock))
    with progress(4, "videos") as advance:
        advance()  # 6 s: too early for a line
        advance()  # 12 s: half is done
        advance(2)  # 14 s: too early again
    assert capsys.readouterr().err.splitlines() == ["videos: 2/4, 0:12 left", "videos: 4/4 in 0:20"]
