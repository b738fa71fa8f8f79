"""Pins: what a study names, what the file says, what the configuration says before it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import Finished, run
from tests.hub_server import COMMIT, FakeHub
from workflow_scripts.hub import fetch_models, pin, pins
from workflow_scripts.hub.pins import Pin, Pins, Repository
from workflow_scripts.settings import InputError, StudySettings, load_study, to_json

ROOT = Path(__file__).parents[3]
OTHER = "f" * 40


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    return loaded


def small(hub: FakeHub, folder: Path, source: str = "o/model", revision: str | None = None) -> StudySettings:
    """The paper's study with one repository of data, one model, and benchmarks of its own."""
    study = config()
    study["hub"] |= {"endpoint": hub.endpoint, "models": str(folder / "models")}
    study["dataset"]["repository"] = "o/data"
    study["images"] = None
    study["attention"]["repository"] = "a folder"
    study["benchmarks"]["tasks"] = "tasks"
    entries = [*study["models"].values(), *(entry["model"] for entry in study["budgets"]["predictors"].values())]
    for entry in [*entries, study["budgets"]["dinov2"]]:
        entry |= {"source": source, "revision": revision}
    return load_study(study)


def test_the_file_names_every_repository_of_the_paper_and_invents_no_commit() -> None:
    held = pins.read()
    named = {(entry.kind, entry.name) for entry in pins.repositories(load_study(config()))}
    assert named == {(kind, name) for kind in ("datasets", "models") for name in getattr(held, kind)}
    assert held.of("datasets", "OpenGVLab/MVBench").reference == "video"
    pins_text = json.loads(pins.PATH.read_text())
    assert all(set(entry) == {"reference", "revision"} for kind in pins_text.values() for entry in kind.values())


@pytest.mark.parametrize("name", ["miniature", "miniature-full"])
def test_the_miniature_names_no_repository(name: str) -> None:
    from snakemake.utils import update_config

    study = config()
    for preset in ("miniature", name):
        update_config(study, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    assert pins.repositories(load_study(study)) == []


def test_a_configured_revision_goes_before_the_pinned_one() -> None:
    held = Pins(datasets={"o/data": Pin(revision=COMMIT)})
    assert pins.required(Repository("datasets", "o/data", None), held) == COMMIT
    assert pins.required(Repository("datasets", "o/data", OTHER), held) == OTHER
    with pytest.raises(InputError, match=r"o/other has no revision .* `snakemake --cores 1 pin`"):
        pins.required(Repository("datasets", "o/other", None), held)
    with pytest.raises(InputError, match=r"revision is 'main'; expected a commit"):
        pins.required(Repository("datasets", "o/data", "main"), held)


def test_a_pinned_study_loads_models_from_their_folder(hub: FakeHub, tmp_path: Path) -> None:
    study = small(hub, tmp_path)
    held = Pins(models={"o/model": Pin(revision=COMMIT)}, datasets={"o/data": Pin(revision=OTHER)})
    found = pins.pinned(study, held)
    folder = f"{tmp_path}/models/o/model/{COMMIT}"
    assert {(entry.source, entry.revision) for entry in found.models.values()} == {(folder, COMMIT)}
    assert found.budgets.dinov2.source == found.budgets.predictors["qwen3-vl-8b"].model.source == folder
    assert found.dataset.revision == OTHER
    assert pins.pinned(study, Pins()) == study
    local = small(hub, tmp_path, source=str(tmp_path))
    assert pins.pinned(local, held).models == local.models
    assert (
        pins.pinned(load_study(config()), Pins(datasets={"lmms-lab-encoder/MME": Pin(revision=COMMIT)}))
        .benchmarks.registry["mme"]
        .revision
        == COMMIT
    )


def test_two_revisions_of_one_repository_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    study = small(hub, tmp_path)
    models = {**study.models, "llava-1.5-7b": study.models["llava-1.5-7b"].model_copy(update={"revision": OTHER})}
    with pytest.raises(InputError, match=rf"o/model is asked for at (None and {OTHER}|{OTHER} and None)"):
        pins.repositories(study.model_copy(update={"models": models}))


def test_a_file_that_is_none_of_pins_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"models": {"a/b": {"revision": "main"}}}', '{"modles": {}}'):
        (tmp_path / "pins.json").write_text(text)
        with pytest.raises(InputError, match="is not a file of pins"):
            pins.read(tmp_path / "pins.json")
    with pytest.raises(InputError, match="is not a file of pins"):
        pins.read(tmp_path / "none.json")


def call(command: Any, study: StudySettings, file: Path) -> Finished:
    return run(command.main, "--study", to_json(study), "--pins", file)


def test_pin_resolves_what_is_open_and_moves_nothing(hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    pins.write(Pins(datasets={"o/data": Pin(reference="video"), "x/unrelated": Pin()}), file)
    done = call(pin, small(hub, tmp_path), file)
    assert done.returncode == 0, done.stderr
    held = pins.read(file)
    assert held.datasets == {"o/data": Pin(reference="video", revision=COMMIT), "x/unrelated": Pin()}
    assert held.models == {"o/model": Pin(revision=COMMIT)}
    assert f"o/data video: {COMMIT}" in done.stdout
    hub.commit = OTHER
    before = file.read_bytes()
    assert "no repository was resolved" in call(pin, small(hub, tmp_path), file).stdout
    assert file.read_bytes() == before


def test_pin_keeps_what_it_could_resolve(hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    pins.write(Pins(), file)
    done = call(pin, small(hub, tmp_path, source="o/nowhere"), file)
    assert done.returncode == 2
    assert "o/nowhere at main is not on" in done.stderr
    assert pins.read(file) == Pins(datasets={"o/data": Pin(revision=COMMIT)}, models={"o/nowhere": Pin()})


def test_models_are_fetched_to_the_folder_they_are_loaded_from(hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    pins.write(Pins(models={"o/model": Pin(revision=COMMIT)}), file)
    study = small(hub, tmp_path)
    hub.cuts["model.safetensors"] = [2000]
    done = call(fetch_models, study, file)
    assert done.returncode == 0, done.stderr
    folder = Path(pins.pinned(study, pins.read(file)).models["qwen2.5-vl-7b"].source)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    held = hub.repositories["models", "o/model"]
    assert (folder / "model.safetensors").read_bytes() == held["model.safetensors"]
    sent = hub.sent
    assert call(fetch_models, study, file).returncode == 0
    assert hub.sent == sent
    (folder / "model.safetensors").unlink()
    hub.lies["model.safetensors"] = held["model.safetensors"][::-1]
    assert "is not what the repository lists" in call(fetch_models, study, file).stderr
    del held["model.safetensors"], held["original/model.safetensors"]
    assert "lacks config.json or safetensors" in call(fetch_models, study, file).stderr


def test_models_without_a_pin_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    pins.write(Pins(), file)
    done = call(fetch_models, small(hub, tmp_path), file)
    assert (done.returncode, hub.asked) == (2, [])
    assert "repository o/model has no revision" in done.stderr
    assert "nothing to fetch" in call(fetch_models, small(hub, tmp_path, source=str(tmp_path)), file).stdout
