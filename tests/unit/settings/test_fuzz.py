"""Whatever a configuration holds, it is planned or refused in words that name the key; nothing else happens."""

import copy
import itertools
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_scripts.settings import InputError, StudySettings, demand, load_study, plan, to_json
from workflow_scripts.settings.duplicates import refuse_duplicates
from workflow_scripts.settings.paper import PAPER

ROOT = Path(__file__).parents[3]
MUTATIONS = 500
Place = tuple[str | int, ...]

VALUES: list[Any] = [
    # other types
    None, True, False, [], {}, [[]], [None], {"": None}, "many", "", 3, 2.5, {"a": {"b": 1}},
    # numbers out of range
    0, -1, -(10**30), 10**30, 10**400, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"), "1e999",
    2**31, 2**53, 2**63, 2**64, 10**9,
    # text
    " ", "\t", "a\nb", "null", "~", "ünïcødé", "日本語", "\u202eabc", "\x00", "\x7f", "\ud800", "e\u0301",
    "💥" * 300, "x" * 5000,
    "../../etc/passwd", "/", ".", "..", "a/b", "a.b", "a b", "-rf", "--output", "$(reboot)", "`reboot`", "; reboot",
    "{wildcards.x}", "{", "}", "<results>", "{instruction}{options}", "*", "%s", "uniform-0", "uniform-", "uniform-٣",
    "hybrid-", "hybrid-dinov2", "uniform-99999999999999999999",
    # lists
    ["a", "a"], [1, 1], [-1], [10**30], [0], [2.5], [True], ["ü/.."], list(range(1, 2000)), ["x"] * 500, [{}],
]  # fmt: skip
NAMES: list[Any] = [
    "a.b", "a/b", "../up", "", " ", "ü", "a\nb", "{x}", "-x", ".", "..", "x" * 300, 3, 2.5, True, None, "$(x)", "name",
]  # fmt: skip


@pytest.fixture(scope="module")
def configurations() -> list[dict[str, Any]]:
    """The paper's study with every key, and the miniature as its overlay makes it."""
    paper = load_study(PAPER).model_dump(mode="json")
    return [paper, merged(paper, yaml.safe_load((ROOT / "presets/miniature.yaml").read_text()))]


def merged(base: Any, overlay: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    return base | {key: merged(base.get(key), value) for key, value in overlay.items()}


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every key and every entry of a list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield (*here, key)
        yield from places(entry, (*here, key))


def replace(holder: Any, key: Any, draw: random.Random) -> None:
    holder[key] = copy.deepcopy(draw.choice(VALUES))


def remove(holder: Any, key: Any, draw: random.Random) -> None:
    del holder[key]


def add_unknown(holder: Any, key: Any, draw: random.Random) -> None:
    target = holder[key] if isinstance(holder[key], dict | list) else holder
    if isinstance(target, dict):
        target[draw.choice(NAMES)] = copy.deepcopy(draw.choice(VALUES))
    else:
        target.append(copy.deepcopy(draw.choice(VALUES)))


def rename(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, dict):
        holder[draw.choice(NAMES)] = holder.pop(key)
    else:
        holder[key] = draw.choice(NAMES)


def double(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[draw.choice(NAMES)] = copy.deepcopy(holder[key])


def swap(holder: Any, key: Any, draw: random.Random) -> None:
    other = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


def scale(holder: Any, key: Any, draw: random.Random) -> None:
    value = holder[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    holder[key] = value * draw.choice([-1, 0, 0.5, 1000, 10**18]) if number else str(value)


OPERATIONS: list[Callable[[Any, Any, random.Random], None]] = [replace, replace, replace, remove, add_unknown, rename]
OPERATIONS += [double, swap, scale]


def mutated(configurations: list[dict[str, Any]], number: int) -> tuple[dict[str, Any], str]:
    """The configuration of this number, with one to three changes, and what was changed, in words."""
    draw = random.Random(number)
    config = copy.deepcopy(draw.choice(configurations))
    said = []
    for _ in range(draw.choice([1, 1, 1, 1, 2, 3])):
        # each section and each depth as likely as another, or most changes would be in the registry of benchmarks
        section = draw.choice(list(config))
        within = sorted((place for place in places(config) if place[0] == section), key=len)
        by_depth = [list(group) for _, group in itertools.groupby(within, key=len)]
        place = draw.choice(draw.choice(by_depth))
        holder: Any = config
        for key in place[:-1]:
            holder = holder[key]
        operation = draw.choice(OPERATIONS)
        said.append(f"{operation.__name__} {place}")
        operation(holder, place[-1], draw)
    return config, " and ".join(said)


def check_plan(study: StudySettings) -> None:
    """Everything that the rules take from the settings can be had, and every path leads back to what it is of."""
    folders = plan.evaluations(study)
    assert folders
    for folder in folders:
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", folder), folder
        assert ".." not in folder.split("/"), folder
        subject = plan.Subject.of(folder)
        assert plan.Subject.parse(f"tuned/{subject.run.path}" if subject.run else "/".join(folder.split("/")[1:-2]))
        assert subject.model in study.models, folder
        plan.view(study, subject)
        assert to_json(plan.evaluated_model(study, subject, folder)).isascii()
    for run in plan.runs(study):
        try:
            asked = demand.training(study, study.models[run.model], study.recipes[run.recipe], run.allocation)
        except InputError:  # fits on no number of GPUs, says the message, which is looked at as any other
            assert study.compute.gpu_memory_gb is not None
            raise
        assert asked.minutes >= 0
    for suite in {suite for experiment in study.experiments for suite in experiment.suites}:
        assert study.benchmarks.of(suite)
    for store in (study.frames.shards, study.curation.probe_shards):
        assert store <= 10_000


def test_each_of_500_changed_configurations_is_planned_or_refused_by_key(configurations: list[dict[str, Any]]) -> None:
    sections = "|".join(StudySettings.model_fields)
    outcomes = {"planned": 0, "refused": 0}
    for number in range(MUTATIONS):
        config, change = mutated(configurations, number)
        try:
            study = load_study(config)
            check_plan(study)
            outcomes["planned"] += 1
        except InputError as error:
            outcomes["refused"] += 1
            for line in str(error).splitlines():
                assert re.match(rf"(configuration key .|({sections})\b)", line), f"{number}: {change}: {line}"
                assert len(line) <= 1000, f"{number}: {change}: a line of {len(line)} characters"
        except Exception as error:
            raise AssertionError(f"{number}: {change}: {type(error).__name__}: {error}") from error
    assert min(outcomes.values()) > MUTATIONS / 10, outcomes


def test_a_list_that_holds_itself_is_refused(configurations: list[dict[str, Any]]) -> None:
    config = copy.deepcopy(configurations[0])
    config["frames"]["budgets"] = yaml.safe_load("&all [8, *all]")
    with pytest.raises(InputError, match=r"frames\.budgets"):
        load_study(config)


def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text("curation:\n  videos: 3\n  seed: 1\n  videos: 4\nmodels: {a: {x: 1}, b: {x: 1}}\n")
    with pytest.raises(InputError, match=r"line 4: configuration key curation\.videos .* line 2") as refused:
        refuse_duplicates(path)
    assert len(str(refused.value).splitlines()) == 1


def test_no_file_of_this_repository_has_a_key_twice() -> None:
    for path in (ROOT / "config.yaml", *sorted((ROOT / "presets").glob("*.yaml"))):
        refuse_duplicates(path)


def test_changes_of_one_key_are_refused_by_that_key(configurations: list[dict[str, Any]]) -> None:
    """Values that no key takes, put at every place in turn: the message names the place, or the section around it."""
    config = configurations[0]
    for place in places(config):
        changed = copy.deepcopy(config)
        holder: Any = changed
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = {"nowhere": float("nan")}
        with pytest.raises(InputError) as refused:
            load_study(changed)
        words = [str(key) for key in place if isinstance(key, str)]
        assert any(word in str(refused.value) for word in words[-2:]), f"{place}: {refused.value}"
