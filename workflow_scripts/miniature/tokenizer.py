"""Byte-level and SentencePiece-like BPE tokenizers of a few hundred tokens, trained on the miniature's own texts."""

import json
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaTokenizer, Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

QWEN_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role + '\n' }}
{%- if message.content is string -%}{{ message.content }}
{%- else -%}
{%- for item in message.content -%}
{%- if item.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ item.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}
"""

LLAVA_TEMPLATE = """\
{%- for message in messages -%}
{{ message.role.upper() + ': ' }}
{%- if message.content is string -%}{{ message.content }}
{%- else -%}
{%- for item in message.content -%}
{%- if item.type == 'image' -%}{{ '<image>\n' }}
{%- elif item.type == 'video' -%}{{ '<video>\n' }}
{%- else -%}{{ item.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role == 'assistant' -%}{{ '</s>' }}{%- else -%}{{ ' ' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}
"""


def qwen_tokenizer(corpus: Iterable[str], size: int, max_length: int) -> Qwen2Tokenizer:
    """Train a byte-level BPE tokenizer of Qwen's kind: digits apart, no prefix space, ChatML and vision tokens.

    Args:
        corpus: texts to learn merges from.
        size: learnt tokens with the 256 bytes, without the special tokens.
        max_length: context length to store.
    """
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    vocab, merges = _train(trained, trainer, corpus)
    return Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(QWEN_SPECIAL),
        model_max_length=max_length,
        padding_side="right",
    )


def llava_tokenizer(corpus: Iterable[str], size: int, max_length: int, placeholders: Sequence[str]) -> LlamaTokenizer:
    """Train a BPE tokenizer of Llama's kind: spaces as ``▁``, bytes for what is unknown, ``<s>`` before a text.

    Args:
        corpus: texts to learn merges from.
        size: learnt tokens with the 256 bytes, without the placeholders.
        max_length: context length to store.
        placeholders: media tokens to append.
    """
    head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=head, show_progress=False)
    vocab, merges = _train(trained, trainer, (text.replace("\n", " ") for text in corpus))
    return LlamaTokenizer(
        vocab=vocab,
        merges=merges,
        pad_token="<unk>",
        extra_special_tokens=list(placeholders),
        model_max_length=max_length,
        padding_side="right",
    )


def _train(
    tokenizer: Tokenizer, trainer: trainers.BpeTrainer, corpus: Iterable[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Train, and take out vocabulary and merges."""
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
