"""Rules `alignment`, `steps` and `propositions` on a small model, against autograd and finite differences."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from workflow_scripts.analysis import alignment, propositions, steps
from workflow_scripts.analysis.gradient_samples import Images, Inputs, Videos
from workflow_scripts.analysis.measured_model import Measured, load_measured
from workflow_scripts.curation import images as image_files
from workflow_scripts.frames.store import SCHEMA
from workflow_scripts.miniature.architectures import build
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings, TheorySettings, to_json
from workflow_scripts.settings.files import write_parquet
from workflow_scripts.theory.curvature import Weights
from workflow_scripts.theory.gradients import Accumulated, adamw_update, streaming
from workflow_scripts.theory.projection import sketch_bound
from workflow_scripts.vlm.encode import IGNORED, collate
from workflow_scripts.vlm.load import load
from workflow_scripts.vlm.loss import token_loss
from workflow_scripts.vlm.trainable import prepare

BUDGETS = [2, 4, 8]
WORDS = ("red", "green", "blue", "white")
CORPUS = [
    "Which color is it? Is it red or blue or green or white?",
    *(f"It is {word}." for word in WORDS),
    "yes no",
] * 8
THEORY = TheorySettings(
    images=8, videos=4, batches=4, moment_batches=2, sketch=None, step_images=8, step_videos=8, power_iterations=3,
    step_lengths=(1e-6, 1e-5, 3e-4),
)  # fmt: skip
RECIPE = RecipeSettings(
    name="r",
    batch_size=2,
    learning_rates={"vision_tower": 0.0, "projector": 1e-3, "language_model": 2e-3},  # type: ignore[arg-type]
    activation_checkpointing=True,
)


def noise(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def said(number: int) -> list[dict[str, str]]:
    turns = [("Which color is it?", f"It is {WORDS[number % 4]}."), ("Is it red?", "yes" if number % 4 == 0 else "no")]
    return [
        {"from": speaker, "value": text}
        for turn in turns[: 1 + number % 2]
        for speaker, text in zip(("human", "gpt"), turn, strict=True)
    ]


@dataclass(frozen=True)
class World:
    """Sixteen videos and sixteen pictures of noise, and a model that knows nothing."""

    folder: Path
    model: ModelSettings

    @property
    def videos(self) -> Videos:
        return Videos.read(self.folder / "manifest.parquet", [self.folder / "shard-0.arrow"], seed=0)

    @property
    def images(self) -> Images:
        return Images.read(self.folder / "images.parquet", self.folder / "images.arrow", seed=0)

    def measured(self, recipe: RecipeSettings = RECIPE, *, exact_steps: bool = True) -> Measured:
        return load_measured(self.model, recipe, device="cpu", seed=0, adapter=None, exact_steps=exact_steps)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    build("qwen2.5-vl-3b", CORPUS, folder / "base", seed=0)
    names = [f"noise/{number}.mp4" for number in range(16)]
    ids = [f"v{number}" for number in range(16)]
    turn = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    spoken = pa.array([said(number) for number in range(16)], turn)
    manifest = {"sample_id": pa.array(ids), "video": pa.array(names), "conversations": spoken}
    write_parquet(pa.table(manifest), folder / "manifest.parquet")
    allocation = pd.DataFrame({"sample_id": ids, "budget": np.int32([2, 4] * 8), "evidence": ["{}"] * 16})
    write_parquet(allocation, folder / "budgets.parquet")
    with pa.OSFile(str(folder / "shard-0.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for number, name in enumerate(names):
            row = {"video": name, "n_frames": 8, "duration_s": 4.0, "fps": 2.0, "frame_index": list(range(8))}
            row |= {"timestamp_s": [index / 2 for index in range(8)]}
            row |= {"jpeg": [noise(100 * number + index) for index in range(8)]}
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
    rows = [
        {"image_id": f"i{n}", "image": f"x#{n}", "source": "s", "conversations": said(n), "width": 64, "height": 64}
        | {"sha256": str(n)}
        for n in range(16)
    ]
    write_parquet(pa.Table.from_pylist(rows, schema=image_files.SCHEMA), folder / "images.parquet")
    told = {"images": json.dumps([row["image_id"] for row in rows])}
    with (
        pa.OSFile(str(folder / "images.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, image_files.STORE, metadata=told) as writer,
    ):
        for n, row in enumerate(rows):
            pair = {"image_id": row["image_id"], "bytes": noise(5000 + n)}
            writer.write_batch(pa.RecordBatch.from_pylist([pair], schema=image_files.STORE))
    model = {"name": "small", "family": "qwen2.5-vl", "source": str(folder / "base"), "size_b": 0.001}
    model |= {"min_pixels": 4096, "max_pixels": 4096, "video_max_pixels": 4096, "precision": "float32"}
    return World(folder, ModelSettings.model_validate(model | {"max_length": 2048}))


@pytest.fixture(scope="module")
def measured(world: World) -> Measured:
    return world.measured()


def gradient(measured: Measured, samples: Sequence[Inputs], scale: float) -> Tensor:
    """`scale` times that of the loss summed over the samples' supervised tokens, from one row: flat, float64."""
    loss = token_loss(measured.vlm.model, collate(measured.vlm, samples), 1.0)
    found = torch.autograd.grad(loss, [parameter for _, parameter in measured.named], allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for (_, p), g in zip(measured.named, found, strict=True)]
    return scale * torch.cat([part.flatten() for part in flat]).double()


def count(samples: Sequence[Inputs]) -> int:
    return sum(int((one["labels"][1:] != IGNORED).sum()) for one in samples)


def measure(world: World, measured: Measured, theory: TheorySettings = THEORY) -> Any:
    allocation = {f"v{number}": (2, 4)[number % 2] for number in range(16)}
    return alignment.measure(measured, RECIPE, theory, BUDGETS, world.videos, world.images, allocation)


@pytest.fixture(scope="module")
def exact(world: World, measured: Measured) -> Any:
    return measure(world, measured)


def gram(found: Any) -> np.ndarray:
    projection, vectors, *_ = found
    stacked = torch.stack(vectors.values)
    summed: np.ndarray = projection.inner_products(stacked, stacked).mean(axis=1).sum(axis=0)
    return summed


def test_vectors_are_gradients_of_the_loss(world: World, measured: Measured, exact: Any) -> None:
    _, vectors, table, told = exact
    images = [world.images.inputs(measured.vlm, place) for place in range(8)]
    mean = gradient(measured, images, 1 / count(images))
    of_images = [place for place, kind in enumerate(vectors.kind) if kind == "image"]
    products = gram(exact)
    assert products[np.ix_(of_images, of_images)].mean() == pytest.approx(float(mean @ mean), rel=1e-4)
    assert told["image_tokens"] == count(images) / 8
    assert told["image_loss"] > 1
    for budget in BUDGETS:
        videos = [world.videos.inputs(measured.vlm, place, budget) for place in range(4)]
        whole = gradient(measured, videos, 1 / count(videos))
        mine = [n for n, kind in enumerate(vectors.kind) if kind == "video" and vectors.budget[n] == budget]
        assert [vectors.batch[n] for n in mine] == [0, 1, 2, 3]
        assert products[np.ix_(of_images, mine)].mean() == pytest.approx(float(mean @ whole), rel=1e-3)
        assert products[np.ix_(mine, mine)].mean() == pytest.approx(float(whole @ whole), rel=1e-4)
        for place, one in enumerate(videos):
            row = table[(table["budget"] == budget) & (table["sample_id"] == world.videos.table["sample_id"][place])]
            own = gradient(measured, [one], 4 / count(videos))
            assert row["squared_norm"].item() == pytest.approx(float(own @ own), rel=1e-4)
            assert row["inner"].item() == pytest.approx(float(own @ mean), rel=1e-3, abs=1e-7)


def test_gradients_agree_with_finite_differences(world: World, measured: Measured, exact: Any) -> None:
    """The change of the image loss along the video gradient is its alignment."""
    _, vectors, *_ = exact
    images = [world.images.inputs(measured.vlm, place) for place in range(8)]
    videos = [world.videos.inputs(measured.vlm, place, 4) for place in range(4)]
    flat = gradient(measured, videos, 1 / count(videos)).float()
    pieces = flat.split([parameter.numel() for _, parameter in measured.named])
    direction = {name: piece.view_as(p) for (name, p), piece in zip(measured.named, pieces, strict=True)}
    weights = Weights(measured.named)
    losses, h = [], 1e-3 / float(flat.norm())
    for length in (h, -h):
        with weights.moved(direction, length), torch.no_grad():
            losses.append(token_loss(measured.vlm.model, collate(measured.vlm, images), float(count(images))).item())
    of_images = [n for n, kind in enumerate(vectors.kind) if kind == "image"]
    mine = [n for n, kind in enumerate(vectors.kind) if kind == "video" and vectors.budget[n] == 4]
    found = gram(exact)[np.ix_(of_images, mine)].mean()
    assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(found, rel=0.02)


def test_updates_are_adamws(world: World, measured: Measured, exact: Any) -> None:
    projection, vectors, *_ = exact
    own = {f"v{number}": (2, 4)[number % 2] for number in range(16)}
    ids = world.videos.table["sample_id"]
    samples = [world.videos.inputs(measured.vlm, place, own[ids[place]]) for place in range(4, 8)]
    singles = torch.stack([gradient(measured, [one], 4 / count(samples)) for one in samples])
    mean, variance = singles.mean(dim=0), singles.var(dim=0)
    v = variance / 2 + mean**2 - variance / 4  # of batches of two, of four samples: E g_B^2 = mean^2 + variance / 2
    batch = [world.videos.inputs(measured.vlm, 0, 8)]
    tokens = count([world.videos.inputs(measured.vlm, place, 8) for place in range(4)]) / 4
    step = gradient(measured, batch, 1 / tokens)
    rates = RECIPE.learning_rates.model_dump()
    rate = torch.cat([torch.full((p.numel(),), rates[measured.part_of[name]]) for name, p in measured.named])
    expected = adamw_update(step, v.clamp(min=0), 1.0) * rate
    place = next(n for n, kind in enumerate(vectors.kind) if kind == "update" and vectors.budget[n] == 8)
    found = vectors.values[place].double()
    order = torch.cat([_places(projection, name) for name, _ in measured.named])
    # Where gradients are all rounding, so is their quotient.
    assert float((found[order] - expected).norm()) < 0.02 * float(expected.norm())


def _places(projection: Any, name: str) -> Tensor:
    """Where a parameter's coordinates stand in an exact projection."""
    group, first, size = projection._places[name]
    return torch.arange(size) + projection.groups[group].start + first


def test_a_sketch_errs_as_stated(world: World, measured: Measured, exact: Any) -> None:
    found = measure(world, measured, THEORY.model_copy(update={"sketch": 4096}))
    projection, _, table, _ = found
    assert not projection.exact
    assert projection.width < exact[0].width / 5
    stacked = torch.stack(exact[1].values)
    squares = np.einsum("grnn->gn", exact[0].inner_products(stacked, stacked)) / 4
    errors, bounds = [], []
    sketched, true = gram(found), gram(exact)
    for one in range(4):
        for other in range(4, 16):
            errors.append(sketched[one, other] - true[one, other])
            bounds.append(sketch_bound(squares[:, one], squares[:, other], projection.groups))
    ratios = np.array(errors) / np.array(bounds)
    assert np.abs(ratios).max() < 4
    assert 0.05 < np.sqrt((ratios**2).mean()) < 1.5
    assert table["squared_norm"].to_numpy() == pytest.approx(exact[2]["squared_norm"].to_numpy(), rel=1e-5)


def test_parts_and_layers_are_groups(measured: Measured, exact: Any) -> None:
    groups = exact[0].groups
    layers = [f"layer {number}" for number in range(measured.vlm.config.text_config.num_hidden_layers)]
    assert set(groups) == {"projector", "language_model", *layers}  # the vision tower has rate 0
    assert sum(group.size for group in groups.values()) == sum(p.numel() for _, p in measured.named)


def test_steps_are_predicted_by_alignment_and_curvature(world: World, measured: Measured) -> None:
    before = {name: parameter.detach().clone() for name, parameter in measured.named}
    table, about, told = steps.measure(measured, RECIPE, THEORY, BUDGETS, world.videos, world.images)
    assert all(torch.equal(parameter, before[name]) for name, parameter in measured.named)
    vlm = measured.vlm
    known = about.set_index("budget")
    images = [world.images.inputs(vlm, place) for place in range(8, 12)]
    for budget in BUDGETS:
        videos = [world.videos.inputs(vlm, place, budget) for place in range(8, 12)]
        step = gradient(measured, videos, 1 / count(videos))
        assert known["squared_norm"][budget] == pytest.approx(float(step @ step), rel=1e-4)
        mean = gradient(measured, images, 1 / count(images))
        assert known["inner"][budget] == pytest.approx(float(mean @ step), rel=1e-3)
        with sdpa_kernel(SDPBackend.MATH):
            vlm.model.eval()
            parameters = [parameter for _, parameter in measured.named]
            loss = token_loss(vlm.model, collate(vlm, images), float(count(images)))
            found = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
            pieces = step.float().split([p.numel() for p in parameters])
            along = sum((g.flatten() * v).sum() for g, v in zip(found, pieces, strict=True) if g is not None)
            second = torch.autograd.grad(along, parameters, allow_unused=True)  # type: ignore[arg-type]
            vlm.model.train()
        curved = sum(float((h.flatten() * v).sum()) for h, v in zip(second, pieces, strict=True) if h is not None)
        assert known["along"][budget] == pytest.approx(curved, rel=0.05, abs=0.02 * float(step @ step))
        mine = table[table["budget"] == budget].sort_values("eta")
        assert mine["eta"].tolist() == pytest.approx(
            [length * told["weights_norm"] / float(step @ step) ** 0.5 for length in THEORY.step_lengths], rel=1e-4
        )
        small = mine.iloc[1]
        changed = np.sum(small["image_changes"]) / np.sum(small["image_tokens"])
        assert changed == pytest.approx(-small["eta"] * known["inner_held"][budget], rel=0.1)
    assert told["power_iteration"] == sorted(told["power_iteration"])
    assert told["curvature"] >= 0.99 * max(abs(known["along"] / known["squared_norm"]))


def test_adapters_are_measured_alone(world: World) -> None:
    recipe = RECIPE.model_copy(update={"method": "lora"})
    rates = {"vision_tower": 0.0, "projector": 0.0, "language_model": 1e-3}
    recipe = RecipeSettings.model_validate(recipe.model_dump() | {"learning_rates": rates})
    adapted = world.measured(recipe)
    assert adapted.named
    assert all(".lora_" in name for name, _ in adapted.named)
    assert "layer 0" in adapted.group_of.values()
    _, vectors, *_ = alignment.measure(
        adapted, recipe, THEORY, BUDGETS, world.videos, world.images, {f"v{number}": 2 for number in range(16)}
    )
    assert float(torch.stack(vectors.values).norm()) > 0


def test_a_trained_adapter_is_measured_beside_its_base(world: World, tmp_path: Path) -> None:
    """Of a new adapter one factor is 0 and the other gets no gradient; of a trained one both do."""
    rates = {"vision_tower": 0.0, "projector": 0.0, "language_model": 1e-3}
    recipe = RecipeSettings.model_validate(RECIPE.model_dump() | {"method": "lora", "learning_rates": rates})
    wrapped, _ = prepare(load(world.model), recipe)
    torch.manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    wrapped.save_pretrained(str(tmp_path))  # type: ignore[operator]
    tuned = load_measured(world.model, recipe, device="cpu", seed=0, adapter=tmp_path, exact_steps=False)
    images = [world.images.inputs(tuned.vlm, place) for place in range(2)]
    for adapted, moves in ((tuned, True), (world.measured(recipe), False)):
        norms: dict[str, float] = {}
        total = Accumulated(adapted.named)
        with streaming(adapted.named, total.take):
            token_loss(adapted.vlm.model, collate(adapted.vlm, images), 1.0).backward()
        for name, value in total.values.items():
            factor = "A" if "lora_A" in name else "B"
            norms[factor] = norms.get(factor, 0.0) + float(value.norm())
        assert norms["B"] > 0
        assert (norms["A"] > 0) == moves
    assert {name for name, _ in tuned.named} == {name for name, _ in adapted.named}


def test_too_few_samples_are_refused(world: World, measured: Measured) -> None:
    with pytest.raises(InputError, match="images: 16 can be drawn; section theory asks for 24, expected no more"):
        measure(world, measured, THEORY.model_copy(update={"images": 16}))


def test_commands_write_what_the_propositions_read(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.folder
    given = ["--model", to_json(world.model), "--recipe", to_json(RECIPE), "--theory", to_json(THEORY), "--budgets"]
    given += [*map(str, BUDGETS), "--manifest", str(folder / "manifest.parquet"), "--device", "cpu"]
    given += ["--store", str(folder / "shard-0.arrow"), "--images", str(folder / "images.parquet")]
    given += ["--pictures", str(folder / "images.arrow"), "--percent", "0", "--output", str(tmp_path / "at-0")]
    monkeypatch.setattr("sys.argv", ["steps", *given])
    steps.main()
    monkeypatch.setattr("sys.argv", ["alignment", *given, "--allocation", str(folder / "budgets.parquet")])
    alignment.main()
    tables = [
        "--sufficient",
        str(folder / "budgets.parquet"),
        "--resamples",
        "40",
        "--output",
        str(tmp_path / "tables"),
    ]
    monkeypatch.setattr("sys.argv", ["propositions", "--measured", str(tmp_path / "at-0"), *tables])
    propositions.main()
    found = propositions.read_propositions(tmp_path / "tables")
    assert len(found["alignment"]) == 2 * len(BUDGETS) * (1 + found["alignment"]["group"].nunique() - 1)
    assert len(found["steps"]) == len(BUDGETS) * len(THEORY.step_lengths)
    assert set(found["conditions"]["budget"]) == set(BUDGETS)
    assert set(found["second_moment"]["ratio"]) == {0.5, 2.0, 4.0}
    assert found["steps"]["within"].dtype == bool
