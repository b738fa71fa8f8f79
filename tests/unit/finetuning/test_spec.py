"""The rule `spec`: what it resolves and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from workflow_scripts.finetuning.spec import check_unchanged, read_spec
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings
from workflow_scripts.settings.recipes import MITIGATIONS


def test_the_run_is_resolved_and_read_back(world: Any, tmp_path: Path) -> None:
    path = world.spec(tmp_path, epochs=2)
    spec = read_spec(path)
    assert spec.samples == 21
    assert spec.left_out == {"plain/broken.mkv": 1}
    assert spec.steps == 12
    assert spec.recipe.learning_rates.projector == 1e-3
    read = {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json", "chat_template.jinja"}
    assert read < set(spec.weights.sha256)
    assert spec.versions["torch"].startswith("2.")
    # The file itself holds all that decides the result, defaults too: nothing is left to the code that reads it.
    written = yaml.safe_load(path.read_text())
    # Mitigations that are not used are not named.
    assert written["recipe"].keys() == RecipeSettings.model_fields.keys() - set(MITIGATIONS)
    assert written["model"].keys() == ModelSettings.model_fields.keys()
    assert written["recipe"]["deepspeed"] is None
    assert (written["model"]["precision"], written["model"]["video_max_pixels"]) == ("float32", 4096)
    check_unchanged(spec, [world.store])
    first = path.read_bytes()
    assert world.spec(tmp_path, epochs=2).read_bytes() == first


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"source": "nowhere/models/x"}, "nowhere/models/x is not a folder.* snakemake --cores 1 fetch_models"),
        (
            {"source": "someone/not-downloaded", "revision": "abc"},
            "snakemake --cores 1 fetch_models, or hf download someone/not-downloaded --revision abc",
        ),
        ({"source": "{empty}"}, "has no config.json"),
        ({"source": "{no_weights}"}, "has no model.safetensors"),
    ],
)
def test_missing_weights_are_refused(world: Any, tmp_path: Path, model: dict[str, str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_weights").mkdir()
    (tmp_path / "no_weights" / "config.json").write_text("{}")
    source = model["source"].format(empty=tmp_path / "empty", no_weights=tmp_path / "no_weights")
    with pytest.raises(InputError, match=message):
        world.spec(tmp_path, model={**world.model, **model, "source": source})


def test_a_sample_without_budget_is_refused(world: Any, tmp_path: Path) -> None:
    table = pq.read_table(world.budgets)
    pq.write_table(table.slice(1), tmp_path / "short.parquet")
    short = type(world)(**{**world.__dict__, "budgets": tmp_path / "short.parquet"})
    with pytest.raises(InputError, match="plain/00 of the manifest has no budget"):
        short.spec(tmp_path)


def test_a_video_neither_stored_nor_quarantined_is_refused(world: Any, tmp_path: Path) -> None:
    frame = pd.read_parquet(world.manifest)
    frame.loc[3, "video"] = "plain/elsewhere.mp4"
    frame.to_parquet(tmp_path / "manifest.parquet")
    other = type(world)(**{**world.__dict__, "manifest": tmp_path / "manifest.parquet"})
    with pytest.raises(
        InputError, match=r"plain/elsewhere.mp4 is neither in the frame store nor quarantined \(1 such\)"
    ):
        other.spec(tmp_path)


def test_what_changed_since_is_refused(world: Any, tmp_path: Path) -> None:
    copy = tmp_path / "budgets.parquet"
    copy.write_bytes(world.budgets.read_bytes())
    moved = type(world)(**{**world.__dict__, "budgets": copy})
    spec = read_spec(moved.spec(tmp_path))
    pq.write_table(pq.read_table(copy), copy, compression="none")
    with pytest.raises(InputError, match=r"budgets.parquet changed since spec.yaml was written"):
        check_unchanged(spec, [world.store])
    with pytest.raises(InputError, match=r"expected the shards of spec.yaml"):
        check_unchanged(read_spec(world.spec(tmp_path)), [])


def test_another_tokenizer_is_another_model(world: Any, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(world.model["source"], base)
    spec = read_spec(world.spec(tmp_path, model={**world.model, "source": str(base)}))
    check_unchanged(spec, [world.store])
    (base / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(InputError, match=r"the weights in .*/base are not those of spec.yaml"):
        check_unchanged(spec, [world.store])


def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("study: x\n")
    with pytest.raises(InputError, match="is not a run's specification"):
        read_spec(tmp_path / "spec.yaml")
    with pytest.raises(InputError, match="missing"):
        read_spec(tmp_path / "none.yaml")
