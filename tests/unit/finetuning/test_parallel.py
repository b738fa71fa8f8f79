"""The same run on one process and on several, plain and under DeepSpeed, on CPUs over gloo.

Started by torchrun this file is the processes: it trains the runs whose arguments it is given, one after the other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from workflow_scripts.finetuning.parallel import deepspeed_config
from workflow_scripts.settings import RecipeSettings

REPOSITORY = Path(__file__).parents[3]
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "zero2": {"deepspeed": "zero2"},
    "zero3": {"deepspeed": "zero3"},
    "zero2, optimizer on the CPU": {"deepspeed": "zero2", "offload": "optimizer"},
    "zero3, all on the CPU": {"deepspeed": "zero3", "offload": "parameters", "activation_checkpointing": True},
    # Of a LLaVA, weights behind the features that are taken get no gradient.
    "llava": {"family": "llava-next-video"},
    "llava, zero2": {"family": "llava-next-video", "deepspeed": "zero2"},
    "llava, zero3": {"family": "llava-next-video", "deepspeed": "zero3"},
}
WITH_IMAGES: dict[str, dict[str, Any]] = {
    "replay": {"replay": 0.4},
    # One image conversation for two processes: one of them computes a stand-in.
    "projection": {"gradient_projection": 1},
}
NINE = 9 / 21  # epochs: nine samples of 21, so that of steps of 4 the last one has a single sample

pytestmark = pytest.mark.xdist_group("parallel")


def runs(world: Any, folder: Path, cases: Sequence[str], processes: int) -> dict[str, list[dict[str, Any]]]:
    """The lines of each case's log, trained on so many processes."""
    arguments = []
    for case in cases:
        output = folder / case
        changes = dict((CASES | WITH_IMAGES)[case])
        model = world.shipped(changes.pop("family")) if "family" in changes else None
        spec = world.spec(output, model, micro_batch_size=1, epochs=NINE, **changes)
        arguments.append(world.arguments(spec, folder / "checkpoints", output))
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), __file__]
        + [json.dumps(each) for each in arguments],
        env={**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        check=True,
        timeout=600,
    )
    return {
        case: [json.loads(line) for line in (folder / case / "log.jsonl").read_text().splitlines()] for case in cases
    }


@pytest.fixture(scope="module")
def alone(world: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Every case on one process."""
    return runs(world, tmp_path_factory.mktemp("alone"), list(CASES), 1)


def column(log: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [line[name] for line in log]


def assert_agree(log: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]]) -> None:
    assert [len(samples) for samples in column(log, "sample_ids")] == [4, 4, 1]
    for found, expected in zip(column(log, "sample_ids"), column(plain, "sample_ids"), strict=True):
        assert sorted(found) == sorted(expected)
    assert column(log, "loss") == pytest.approx(column(plain, "loss"), rel=2e-6)
    assert column(log, "grad_norm") == pytest.approx(column(plain, "grad_norm"), rel=2e-5)
    assert column(log, "flops") == column(plain, "flops")


@pytest.mark.slow
def test_losses_agree_on_one_process(alone: dict[str, list[dict[str, Any]]]) -> None:
    plain = alone["plain"]
    assert plain[0]["loss"] != pytest.approx(plain[1]["loss"], rel=1e-2)
    for case, log in alone.items():
        assert_agree(log, alone["llava"] if "llava" in case else plain)
    repeated = alone["zero3, all on the CPU"]
    for line in repeated:
        assert line["flops"] < line["hardware_flops"] < 4 / 3 * line["flops"]


@pytest.mark.slow
def test_losses_agree_on_two_processes(alone: dict[str, list[dict[str, Any]]], world: Any, tmp_path: Path) -> None:
    """In the last step one process has no sample: it computes a stand-in, vision tower and all, or ZeRO-3 hangs."""
    for log in runs(world, tmp_path, ["plain", "zero2", "zero3"], 2).values():
        assert_agree(log, alone["plain"])
        assert log[-1]["micro_batches"] == 2


@pytest.mark.slow
def test_image_conversations_agree_on_two_processes(world: Any, tmp_path: Path) -> None:
    """Both processes take the same out of the same gradient, whoever had the image conversation."""
    one, two = (runs(world, tmp_path / str(processes), list(WITH_IMAGES), processes) for processes in (1, 2))
    for case, alone in one.items():
        assert_agree(two[case], alone)
        assert [len(images) for images in column(alone, "image_ids")] == ([3, 2, 1] if case == "replay" else [1, 1, 1])
        for found, expected in zip(column(two[case], "image_ids"), column(alone, "image_ids"), strict=True):
            assert sorted(found) == sorted(expected)
    for name in ("inner_product", "cosine", "reference_loss"):
        assert column(two["projection"], name) == pytest.approx(column(one["projection"], name), rel=1e-4)


def test_what_is_offloaded() -> None:
    def places(**changes: Any) -> tuple[Any, Any]:
        zero = deepspeed_config(RecipeSettings(name="r", **changes), half=True)["zero_optimization"]  # type: ignore[index]
        return tuple(zero.get(f"offload_{what}", {}).get("device") for what in ("optimizer", "param"))  # type: ignore[return-value]

    assert places(deepspeed="zero3") == (None, None)
    assert places(deepspeed="zero2", offload="optimizer") == ("cpu", None)
    assert places(deepspeed="zero3", offload="optimizer") == ("cpu", None)
    assert places(deepspeed="zero3", offload="parameters") == ("cpu", "cpu")
    assert deepspeed_config(RecipeSettings(name="r", deepspeed=None), half=True) is None


@pytest.mark.parametrize(
    ("deepspeed", "offload", "expected"),
    [
        (None, "optimizer", "expected deepspeed: zero2 or zero3"),
        (None, "parameters", "expected deepspeed: zero3"),
        ("zero2", "parameters", "offload is parameters, and deepspeed zero2; expected deepspeed: zero3"),
    ],
)
def test_what_cannot_be_offloaded_is_refused(deepspeed: str | None, offload: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        RecipeSettings(name="r", deepspeed=deepspeed, offload=offload)  # type: ignore[arg-type]


def main(runs_arguments: Sequence[str]) -> None:
    """Train one run after the other in this process, which forgets in between that there was another."""
    from accelerate.state import AcceleratorState, GradientState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    from workflow_scripts.finetuning import train

    for arguments in runs_arguments:
        train.main(json.loads(arguments))
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        unset_hf_deepspeed_config()


if __name__ == "__main__":
    main(sys.argv[1:])
