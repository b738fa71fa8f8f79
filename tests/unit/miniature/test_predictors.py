"""The miniature predictors: what they are taught is true, and training can be killed."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.miniature import confusion, frame_contrast, predictor_training, steps
from workflow_scripts.miniature.budget_lessons import FIRST_SEED, budget_lesson, cases
from workflow_scripts.miniature.frame_contrast import contrast, train_dinov2
from workflow_scripts.miniature.predictor_training import train_predictor
from workflow_scripts.miniature.predictors import FAMILIES, settings_of
from workflow_scripts.miniature.records import conversations, video_exchanges
from workflow_scripts.miniature.steps import Plan
from workflow_scripts.predictors.prompt import instruction
from workflow_scripts.settings import DinoSettings

BUDGETS = (8, 16, 32, 64)


def test_a_lesson_s_letter_names_the_budget_that_its_record_needs() -> None:
    predictor = settings_of("predictor-qwen2.5-vl-3b")
    letters = set()
    for number in range(40):
        lesson = budget_lesson(number, predictor, BUDGETS)
        scene = cases(number)[0].scene
        assert scene.seed == FIRST_SEED + number
        truth = {}
        for kind in ("caption", "open_ended", "multiple_choice"):
            exchanges = video_exchanges(scene, kind)
            truth[instruction(conversations(exchanges))] = max(exchange.budget for exchange in exchanges)
        assert lesson.media.frames.shape == (8, 64, 64, 3)
        assert len(lesson.turns) == 6
        for asked, answered in zip(lesson.turns[::2], lesson.turns[1::2], strict=True):
            told = re.search(r"Instruction: (.*)\nHow many uniformly", asked.text, re.DOTALL).group(1)
            listed = dict(re.findall(r"^([A-D])\. (\d+) frames$", asked.text, re.MULTILINE))
            assert int(listed[answered.text]) == truth[told]
            letters.add(answered.text)
    assert letters == set("ABCD")


def test_confusion_counts() -> None:
    true, predicted = [8, 8, 8, 64], [8, 16, 8, 8]
    assert confusion.accuracy(true, predicted) == 0.5
    assert confusion.majority(true) == 0.75
    rows = confusion.table(true, predicted, BUDGETS).splitlines()
    assert rows[2] == "| 8 | 2 | 1 | 0 | 0 |"
    assert rows[5] == "| 64 | 1 | 0 | 0 | 0 |"


def test_contrast_is_small_where_views_match_and_chance_where_all_are_alike() -> None:
    far = torch.eye(4)
    assert contrast(torch.cat([far, far])).item() == pytest.approx(np.log(1 + 6 * np.exp(-10)), rel=1e-3)
    assert contrast(torch.ones(8, 4)).item() == pytest.approx(np.log(7), rel=1e-5)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES, "dinov2"])
def test_killed_training_goes_on_and_ends_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(steps, "CHECKPOINT_EVERY", 1)
    for module in (predictor_training, frame_contrast):
        monkeypatch.setattr(module, "VALIDATION_SCENES", 4)
    batches = 0
    real = {"budget_lesson": predictor_training.budget_lesson, "_frames": frame_contrast._frames}

    def train(folder: Path, dies: bool) -> None:
        nonlocal batches
        batches = 0

        def counted(what: str, limit: int):
            def call(*args):
                nonlocal batches
                batches += 1
                if dies and batches > limit:
                    raise KeyboardInterrupt
                return real[what](*args)

            return call

        monkeypatch.setattr(predictor_training, "budget_lesson", counted("budget_lesson", 4))
        monkeypatch.setattr(frame_contrast, "_frames", counted("_frames", 2))
        plan = Plan(3, 2, 1e-3, 0, None, tmp_path / f"{folder.name}-checkpoints")
        if name == "dinov2":
            train_dinov2(DinoSettings(source="new", resolution=64), BUDGETS, plan, folder)
        else:
            train_predictor(settings_of(name), BUDGETS, plan, folder)

    train(tmp_path / "whole", dies=False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", dies=True)
    assert not (tmp_path / "killed").exists()
    train(tmp_path / "killed", dies=False)
    assert batches == (1 if name == "dinov2" else 2)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    files = {path.name for path in (tmp_path / "killed").iterdir()}
    assert {"README.md", "training.jsonl", "SHA256SUMS", "model.safetensors", "config.json"} <= files
    for line in (tmp_path / "killed" / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split("  ")
        assert hashlib.sha256((tmp_path / "killed" / file).read_bytes()).hexdigest() == digest
