"""config.yaml and its schema say what the settings say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from workflow_scripts.settings import StudySettings, load_study
from workflow_scripts.settings.generate import config_text, schema_text
from workflow_scripts.settings.paper import PAPER

ROOT = Path(__file__).parents[3]


def test_config_is_up_to_date() -> None:
    assert (ROOT / "config.yaml").read_text() == config_text(), "run python -m workflow_scripts.settings.generate"


def test_schema_is_up_to_date() -> None:
    text = (ROOT / "resources" / "config.schema.json").read_text()
    assert text == schema_text(), "run python -m workflow_scripts.settings.generate"


def test_config_is_the_paper() -> None:
    assert load_study(yaml.safe_load((ROOT / "config.yaml").read_text())) == load_study(PAPER)


def test_config_validates_against_the_schema() -> None:
    """The schema describes what is read, where `name` comes from the key."""
    config = load_study(PAPER).model_dump(mode="json")
    schema = json.loads((ROOT / "resources" / "config.schema.json").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "vidoes": 1}, schema)


def properties(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Section, key and schema of each key; a key that is described as its section is has it from there."""
    sections = {"StudySettings": schema, **schema["$defs"]}
    return [
        (name, key, {**sections.get(entry.get("$ref", "").rpartition("/")[2], {}), **entry})
        for name, section in sections.items()
        for key, entry in section.get("properties", {}).items()
    ]


def test_every_key_is_described() -> None:
    for section, key, entry in properties(StudySettings.model_json_schema()):
        assert entry.get("description"), f"{section}.{key} lacks a description"


def test_every_key_is_explained_in_the_config() -> None:
    """Above each key's first place stands its description."""
    text = " ".join(config_text().replace("#", " ").split())
    for section, key, entry in properties(StudySettings.model_json_schema()):
        if section != "MiniatureSettings" and key != "name":
            assert " ".join(entry["description"].split()) in text, f"{section}.{key} is not explained"


@pytest.mark.parametrize("overlays", [["miniature"], ["miniature", "miniature-full"], ["miniature", "smoke"]])
def test_presets_load(overlays: list[str]) -> None:
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for overlay in overlays:
        update_config(config, yaml.safe_load((ROOT / "presets" / f"{overlay}.yaml").read_text()))
    study = load_study(config)
    assert study.miniature is not None
    assert all(study.study in path for path in (study.dataset.root, study.benchmarks.root, str(study.dataset.ready)))
    assert all(model.source.startswith("resources/miniature/") for model in study.models.values())
    questions = {benchmark.questions for benchmark in study.benchmarks.registry.values()}
    assert questions == {study.miniature.questions}
