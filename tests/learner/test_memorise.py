"""The whole chain on real demonstrations: tokens, sequences, gradient steps, and decoding of the learned actions."""

from dataclasses import replace

import numpy as np
import torch

from actors.experts.registry import make_expert
from actors.rollout import episodes
from gato_dist.config.run_config import parse_config
from gato_dist.model.decode import ActionDecoder, DecodingOptions
from gato_dist.model.inputs import ModelInputs
from gato_dist.scores.references import load_reference
from gato_dist.sequence import Batch, collate
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.steps import StepTokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer, pooled_statistics
from learner.learner import Learner

TASK, WINDOW, SEQUENCES = "metaworld/reach-v3", 3, 64
CONFIG = {
    "name": "memorise",
    "tasks": [{"name": TASK, "window_steps": WINDOW}],
    "model": {"width": 96, "layers": 2, "heads": 4, "key_size": 24, "feed_forward": 192, "patch_channels": 8},
    "learner": {"batch": SEQUENCES, "learning_rate": 4e-3, "warmup_steps": 20, "weight_decay": 0.0, "steps": 500},
}


def demonstrations(tokenizer: Tokenizer) -> list[StepTokens]:
    """64 sequences of three steps, cut from scripted episodes."""
    expert = make_expert(TASK, [11, 12], max_steps=WINDOW * SEQUENCES // 2)
    steps = [
        tokenizer.tasks[TASK].encode(episode.observations, episode.actions)
        for episode in episodes(expert.env, expert.policy, expert.provenance(), once=True)
    ]
    whole = StepTokens.join(steps)
    return [whole.take(slice(first, first + WINDOW)) for first in range(0, len(whole) - WINDOW + 1, WINDOW)]


def test_a_tiny_model_memorises_real_sequences_and_reproduces_their_actions():
    config = parse_config(CONFIG, "test")
    expert = make_expert(TASK, [11])
    spec = expert.env.spec
    moments = {TASK: load_reference(TASK).moments}
    tokenizer = Tokenizer(
        [spec],
        TextTokenizer.load(),
        scheme="disjoint",
        encoding="compact",
        statistics=pooled_statistics([spec], moments),
    )
    sequences = demonstrations(tokenizer)
    assert len(sequences) == SEQUENCES
    packer = Packer(tokenizer.tasks[TASK], length=6 * WINDOW, window_steps=0, seed=0)
    parts = [packed for sequence in sequences if (packed := packer.add(sequence)) is not None]
    last = packer.flush()
    batch = collate([(0, packed) for packed in [*parts, last]], tokenizer.tensor_size)
    assert len(batch.token) == SEQUENCES

    torch.manual_seed(0)
    learner = Learner.for_run(config, tokenizer)
    losses = [learner.step(batch) for _ in range(config.learner.steps)]
    assert losses[0] > 6
    assert losses[-1] < 0.05

    decoder = ActionDecoder(
        learner.model,
        tokenizers=[tokenizer.tasks[TASK]] * SEQUENCES,
        window_steps=[0] * SEQUENCES,
        seeds=[0] * SEQUENCES,
        options=DecodingOptions(6 * WINDOW),
    )
    acted = np.zeros((SEQUENCES, WINDOW, spec.action.size), np.int64)
    for step in range(WINDOW):
        seen = [without_actions(sequence.take(slice(step, step + 1)), spec.action.size) for sequence in sequences]
        acted[:, step] = decoder.act(range(SEQUENCES), seen)
    shown = np.stack([sequence.token[:, -spec.action.size :] for sequence in sequences])
    right = (acted == shown).all((1, 2))
    # Two sequences may begin with the same observation. The others must be reproduced exactly.
    assert (right | ~known(learner, batch)).all()
    assert right.mean() > 0.9


def known(learner: Learner, batch: Batch) -> np.ndarray:
    """Returns, bool [64], whether each action token is the likeliest one after the true tokens before it."""
    inputs = ModelInputs.from_batch(batch)
    predicts = inputs.loss_mask[:, 1:]
    with torch.inference_mode():
        logits = learner.model.eval().logits(learner.model(inputs)[:, :-1][predicts])
    hits = logits.argmax(-1) == inputs.token[:, 1:][predicts]
    return hits.reshape(SEQUENCES, -1).all(1).numpy()


def without_actions(step: StepTokens, count: int) -> StepTokens:
    names = ("token", "kind", "local_position", "valid", "correction")
    return replace(step, **{name: getattr(step, name)[:, :-count] for name in names})
