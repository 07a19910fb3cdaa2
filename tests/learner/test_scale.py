"""Training gives the same result with several workers, shards or accumulated parts, with padding and compilation."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._dynamo.testing import CompileCounter

from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.errors import InputError
from gato_dist.model.inputs import LossTargets, ModelInputs, bucket_size, exact_size
from gato_dist.sequence import Batch, Kind, collate, split_batch
from gato_dist.tokens.layout import Statistics
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner import parallel
from learner.checkpoint import Snapshot, restore
from learner.checkpoint_folder import CheckpointFolder
from learner.device_batches import DeviceBatch, prefetch
from learner.learner import Learner, compile_model
from learner.local_workers import run_workers
from learner.loss import LossModel
from learner.state import model_tensors, optimizer_tensors
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations

# Two channels for each group of GroupNorm. With one channel, the gradient of the bias before it would be rounding
# noise, which Adam would amplify.
MODEL = {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 64}
STEPS = 4


def make_config(**learner) -> RunConfig:
    settings = {"batch": 8, "warmup_steps": 0, "learning_rate": 3e-3} | learner
    # The fakes' tasks, under names that a configuration accepts.
    tasks = [{"name": "metaworld/reach-v3"}, {"name": "metaworld/push-v3"}]
    return parse_config({"name": "t", "tasks": tasks, "model": MODEL, "learner": settings}, "test")


def make_tokenizer() -> Tokenizer:
    statistics = {ARM.name: {"pose": Statistics(np.zeros(3), np.ones(3))}}
    return Tokenizer(
        [ARM, BUTTONS],
        TextTokenizer.load(),
        scheme="disjoint",
        encoding="compact",
        statistics=statistics,
        text_size=600,
    )


def make_batch(seed: int = 0, arms: int = 3) -> Batch:
    """Eight sequences, of which the first `arms` have images and text, and more targets than the others.

    The position interval of each patch holds one bin. Otherwise every worker would draw different bins.
    """
    tokenizer = make_tokenizer()
    light = np.random.default_rng(seed).integers(3, size=200)
    shown = ((ARM, arm_observations(48, seed), arm_actions(48, seed)), (BUTTONS, {"light": light}, light))
    parts = []
    for index, ((spec, seen, actions), count) in enumerate(zip(shown, (arms, 8 - arms), strict=True)):
        task = tokenizer.tasks[spec.name]
        packed = Packer(task, length=64, window_steps=2, seed=seed).add(task.encode(seen, actions))
        assert packed is not None
        assert len(packed) >= count
        parts.append((index, packed.take(slice(count))))
    batch = collate(parts, tokenizer.tensor_size)
    batch.patch_positions[..., 1] = batch.patch_positions[..., 0]
    return batch


def train_some(config: RunConfig, steps: range = range(STEPS), checkpoint: Path | None = None) -> tuple[Learner, list]:
    learner = Learner.for_run(config, make_tokenizer())
    if checkpoint:
        learner.counters = restore(checkpoint, learner.model, learner.optimizer)
    batches = (split_batch(make_batch(seed), parallel.world_size())[parallel.rank()] for seed in steps)
    return learner, [learner.step(batch) for batch in batches]


def work(sharding: str, accumulate: int, out: Path) -> None:
    """The job of one worker: trains, writes a checkpoint and its losses, and resumes from it."""
    torch.set_num_threads(1)
    with parallel.process_group(gpu=False):
        config = make_config(workers=2, sharding=sharding, accumulate=accumulate)
        learner, losses = train_some(config)
        rates = learner.meter.report()
        a_step = rates.tokens_per_second / rates.steps_per_second
        assert a_step * STEPS == pytest.approx(learner.counters.tokens), "rates count the tokens of all workers"
        mean = parallel.sum_over_workers(losses)
        snapshot = Snapshot.take(
            config, make_tokenizer(), model=learner.model, optimizer=learner.optimizer, counters=learner.counters
        )
        if parallel.is_first_worker():
            folder = CheckpointFolder(out, 2)
            folder.save(snapshot)
            folder.wait()
            save_file({"losses": torch.tensor(mean) / 2}, out / "losses.safetensors")
        everything, own = (sum(map(count, learner.model.parameters())) for count in (torch.numel, local_size))
        assert own < 0.6 * everything if sharding == "full" else own == everything
        # The same workers resume from the checkpoint that the first one wrote.
        torch.distributed.barrier()
        again, _ = train_some(config, range(STEPS, STEPS + 2), CheckpointFolder(out, 2).newest())
        whole = model_tensors(again.model)
        if parallel.is_first_worker():
            save_file(whole, out / "resumed.safetensors")
        both = make_config(workers=2, sharding=sharding, precision="bfloat16", checkpoint_activations=True)
        assert parallel.sum_over_workers(train_some(both)[1]) == pytest.approx(mean, rel=0.02)


def local_size(parameter: torch.Tensor) -> int:
    """Elements of the parameter that this worker keeps."""
    return getattr(parameter, "to_local", lambda: parameter)().numel()


@pytest.fixture(scope="module")
def alone() -> tuple[Learner, list[float]]:
    return train_some(make_config())


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], atol: float = 1e-5) -> bool:
    return found.keys() == expected.keys() and all(torch.allclose(found[k], expected[k], atol=atol) for k in found)


@pytest.mark.parametrize(("sharding", "accumulate"), [("none", 2), ("full", 2)])
def test_two_workers_train_like_one_and_one_resumes_their_run(sharding, accumulate, alone, tmp_path):
    run_workers(partial(work, sharding, accumulate, tmp_path), 2)
    learner, losses = alone
    checkpoint = CheckpointFolder(tmp_path, 2).newest()
    assert load_file(tmp_path / "losses.safetensors")["losses"].tolist() == pytest.approx(losses, abs=1e-5)
    assert close(load_file(checkpoint / "model.safetensors"), model_tensors(learner.model))
    saved = load_file(checkpoint / "optimizer.safetensors")
    assert close(saved, optimizer_tensors(learner.model, learner.optimizer))
    resumed, more = train_some(make_config(), range(STEPS, STEPS + 2), checkpoint)
    unbroken, steps = train_some(make_config(), range(STEPS + 2))
    assert more == pytest.approx(steps[STEPS:], abs=1e-5)
    assert close(model_tensors(resumed.model), model_tensors(unbroken.model))
    assert close(load_file(tmp_path / "resumed.safetensors"), model_tensors(unbroken.model))


@pytest.mark.parametrize("keys", [{"accumulate": 4}, {"checkpoint_activations": True}])
def test_accumulation_and_recomputation_change_no_gradient(keys, alone):
    learner, losses = train_some(make_config(**keys))
    assert losses == pytest.approx(alone[1], abs=1e-5)
    assert close(model_tensors(learner.model), model_tensors(alone[0].model))


def test_bfloat16_gives_similar_losses_and_keeps_float32_weights(alone):
    learner, losses = train_some(make_config(precision="bfloat16"))
    assert losses == pytest.approx(alone[1], rel=0.02)
    assert losses != alone[1]
    assert {tensor.dtype for tensor in optimizer_tensors(learner.model, learner.optimizer).values()} == {torch.float32}


def test_a_batch_size_that_parts_do_not_divide_is_refused():
    with pytest.raises(InputError, match=r"learner.batch 8 is no multiple of learner.workers × learner.accumulate: 6"):
        make_config(workers=2, accumulate=3)


def test_a_split_batch_holds_the_same_data():
    batch = make_batch()
    parts = split_batch(batch, 4)
    for name in ("token", "patches", "patch_positions", "tensors", "task"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(batch, name))
    assert [len(part.patches) for part in parts] == [int((part.kind == Kind.PATCH).sum()) for part in parts]


def test_bucket_sizes_are_few_and_waste_at_most_a_fifth():
    sizes = {bucket_size(count) for count in range(1, 1025)}
    assert len(sizes) == 1 + 4 * 7
    assert all(count <= bucket_size(count) <= max(8, 1.25 * count) for count in range(1, 5000))


def test_patches_reach_the_device_as_uint8():
    batch = make_batch()
    (inputs, _), *_ = DeviceBatch.from_batch(batch, 2, torch.device("cpu"), bucket_size).parts
    assert inputs.patches.dtype == torch.uint8
    assert inputs.patches.shape[1:] == batch.patches.shape[1:]


def test_padding_changes_no_loss():
    learner, batch = Learner.for_run(make_config(), make_tokenizer()), make_batch()
    model = LossModel(learner.model.eval(), make_tokenizer().vocabulary)
    plain, each = model(ModelInputs.from_batch(batch), LossTargets.from_batch(batch))
    padded, padded_each = model(
        ModelInputs.from_batch(batch, size=bucket_size), LossTargets.from_batch(batch, size=bucket_size)
    )
    assert len(padded_each) > len(each)
    assert padded.item() == pytest.approx(plain.item(), rel=1e-6)
    assert torch.allclose(padded_each[: len(each)], each, atol=1e-5)


def test_every_weight_has_a_gradient_even_if_the_batch_has_no_image_and_no_tensor():
    """Otherwise workers would wait for a gradient that one of them lacks."""
    batch = make_batch(arms=0)
    batch.tensors, batch.kind = batch.tensors[:0], np.zeros_like(batch.kind)
    assert len(batch.patches) == 0
    learner = Learner.for_run(make_config(), make_tokenizer())
    learner.step(batch)
    assert all(parameter.grad is not None for parameter in learner.model.parameters())


def with_fewer_patches(batch: Batch, drop: int) -> Batch:
    """Replaces the first patches by text tokens."""
    kind = batch.kind.copy()
    kind.reshape(-1)[np.flatnonzero(kind == Kind.PATCH)[:drop]] = Kind.TEXT
    return replace(batch, kind=kind, patches=batch.patches[drop:], patch_positions=batch.patch_positions[drop:])


def test_batches_of_many_sizes_are_compiled_for_few_sizes():
    torch._dynamo.reset()
    learner, counter = Learner.for_run(make_config(), make_tokenizer()), CompileCounter()
    compile_model(learner.model, counter)
    batches = [with_fewer_patches(make_batch(arms=6), drop) for drop in range(24)]
    prepared = [DeviceBatch.from_batch(batch, 1, torch.device("cpu"), bucket_size) for batch in batches]
    shapes = {len(batch.parts[0][0].patches) for batch in prepared}
    most = {batch.parts[0][1].outputs.index.shape[1] for batch in prepared}
    for batch in prepared:
        learner.step(batch)
    # One for all blocks but the last; for the last block and for the patch embedding, one for each size.
    assert counter.frame_count == 1 + len(shapes) + len(most)
    assert len(shapes) + len(most) <= 6


def test_prefetched_batches_keep_their_order_and_errors_are_raised():
    def make(batch: Batch) -> DeviceBatch:
        if not len(batch.token):
            raise InputError("damaged")
        return DeviceBatch.from_batch(batch, 1, torch.device("cpu"), exact_size)

    batches = [make_batch(seed) for seed in range(3)]
    broken = replace(batches[0], token=batches[0].token[:0])
    taken = prefetch([*batches, broken], make)
    assert [next(taken).batch for _ in batches] == batches
    with pytest.raises(InputError, match="damaged"):
        next(taken)
