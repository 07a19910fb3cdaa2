"""Continues a text token by token with a key/value cache."""

import numpy as np
import torch
from numpy.typing import NDArray

from gato_dist.model.cache import KeyValueCache
from gato_dist.model.decode import DecodingOptions, sample_tokens
from gato_dist.model.gato import Gato
from gato_dist.model.token_chunks import TokenChunk, make_inputs
from gato_dist.sequence import Kind
from gato_dist.tokens.documents import DocumentTokens


@torch.inference_mode()
def generate_text(
    model: Gato,
    prompt: DocumentTokens,
    *,
    patch_positions: NDArray[np.uint8],
    text_size: int,
    separator: int,
    options: DecodingOptions,
    max_tokens: int,
    seed: int,
) -> list[int]:
    """Continues a document until a separator, `max_tokens`, or a full window.

    Args:
        model: the model; it is switched to evaluation mode.
        prompt: beginning of the document.
        patch_positions: uint8 [P, 2, 2], of the patches of an image.
        text_size: ids below this number are text; only these and the separator can be chosen.
        separator: id of the separator that ends a text.
        options: window length and temperature.
        max_tokens: maximal number of new tokens.
        seed: seed of the sampling.

    Returns:
        The new text ids, without the separator.

    Raises:
        ValueError: if the prompt fills a window.
    """
    if len(prompt) >= options.length:
        raise ValueError(f"{len(prompt)} tokens leave no room in a window of {options.length}")
    device = next(model.parameters()).device
    random, cache = np.random.default_rng(seed), KeyValueCache(model.eval().config, 1, options.length, device)
    slot = torch.zeros(1, dtype=torch.long, device=device)
    chunk = TokenChunk(
        token=prompt.token,
        kind=prompt.kind,
        local_position=prompt.local_position,
        step=0,
        patches=prompt.patches,
        patch_positions=patch_positions[: len(prompt.patches)],
        tensors=np.zeros((0, 0), np.float32),
    )
    generated: list[int] = []
    while True:
        inputs, count = make_inputs([[chunk]], device)
        hidden = model.extend(inputs, count, slot, cache)
        logits = torch.cat([model.logits(hidden, 0, text_size), model.logits(hidden, separator, separator + 1)], -1)
        (token,) = sample_tokens(logits, options.temperature, [random])
        if token == text_size:
            return generated
        generated.append(token)
        if len(generated) == max_tokens or len(prompt) + len(generated) == options.length:
            return generated
        chunk = TokenChunk.of_token(token, Kind.TEXT, 0, 0)
