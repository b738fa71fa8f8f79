"""The likelihood of given answers, for every family, against transformers' own logits one token at a time."""

import numpy as np
import pytest
import torch

from workflow_scripts.vlm import likelihood
from workflow_scripts.vlm.encode import IGNORED, collate, encode
from workflow_scripts.vlm.likelihood import answer_logprobs
from workflow_scripts.vlm.load import VLM

from .conftest import DIALOGUE, examples


def test_an_answer_is_as_likely_as_its_tokens_one_after_the_other(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "PROJECTED_TOKENS", 3)
    batch = examples()
    sums, counts = answer_logprobs(vlm, batch)
    assert sums.shape == counts.shape == (len(batch),)
    for example, total, count in zip(batch, sums, counts, strict=True):
        encoded = encode(vlm, example, supervise=True)
        said = (encoded["labels"] != IGNORED).nonzero()[:, 0].tolist()
        inputs = collate(vlm, [{key: value for key, value in encoded.items() if key != "labels"}])
        with torch.no_grad():
            logits = vlm.model(**inputs).logits[0].double()
        alone = [float(logits[place - 1].log_softmax(-1)[encoded["input_ids"][place]]) for place in said]
        assert count == len(said) > 1
        assert total == pytest.approx(sum(alone), abs=1e-3)
    assert np.ptp(sums) > 0.1
    same = [round(float(one), 3) for one, example in zip(sums, batch, strict=True) if example.turns == DIALOGUE[:2]]
    assert len(same) == len(set(same)) == 3, "the same words are more or less likely by what is shown"


def test_no_example_no_answer(vlm: VLM) -> None:
    sums, counts = answer_logprobs(vlm, [])
    assert len(sums) == len(counts) == 0
