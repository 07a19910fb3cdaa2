"""Merging datasets: indices are renumbered, and datasets that do not fit together are refused by name."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gato_dist.datasets.inspect import validate_dataset
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.merge import merge
from replay.dataset.observation_moments import load_moments
from replay.dataset.shards import DroppedEpisode, write_shard
from replay.dataset.storage import Location
from replay.dataset.writing import EpisodeStream, write_dataset, write_settings
from tests.support.episodes import arm, buttons
from tests.support.fakes import ARM, BUTTONS


def collected(root: Path, *sources: EpisodeStream, policy: str = "expert", seed: int = 0) -> Dataset:
    """Writes a dataset as `gato-dist collect` does."""
    write_dataset(root, sources, policy, "")
    counts = {source.spec.name: len(source.episodes) for source in sources}  # type: ignore[arg-type]
    write_settings(root, {"policy": policy, "seed": seed, "episodes": counts})
    return Dataset.open(root)


def arms(first: int, count: int) -> EpisodeStream:
    return EpisodeStream(ARM, [arm(3 + i % 4, i) for i in range(first, first + count)])


def held(dataset: Dataset, task: str) -> list[tuple[int, int]]:
    """Returns (index, seed) of each episode."""
    entries = [entry for manifest in dataset.manifests(task) for entry in manifest.entries]
    return [(entry.index, entry.provenance.seed) for entry in entries]


def test_episodes_of_one_task_are_renumbered_also_in_their_parquet_rows(tmp_path):
    one, other = collected(tmp_path / "a", arms(0, 18)), collected(tmp_path / "b", arms(18, 3), seed=1)
    merge([one, other], tmp_path / "all", "the command")
    whole = Dataset.open(tmp_path / "all")
    assert held(whole, "toy/arm") == [(i, i) for i in range(21)]
    assert (whole.settings["policy"], whole.settings["episodes"]) == ("merged", {"toy/arm": 21})
    validate_dataset(Location.of(tmp_path / "all"))
    last = pq.read_table(tmp_path / "all/toy.arm/000018.parquet")
    assert set(last.column("episode").to_pylist()) == {18, 19, 20}
    first = Path("toy.arm/000000.parquet")
    assert (tmp_path / "all" / first).samefile(tmp_path / "a" / first)


def test_a_merge_of_different_tasks_with_equal_settings_can_be_collected_further(tmp_path):
    one = collected(tmp_path / "a", arms(0, 4), seed=5)
    other = collected(tmp_path / "b", EpisodeStream(BUTTONS, [buttons(3, 0)]), seed=5)
    merge([one, other], tmp_path / "all", "")
    settings = Dataset.open(tmp_path / "all").settings
    assert (settings["policy"], settings["seed"]) == ("expert", 5)
    assert settings["episodes"] == {"toy/arm": 4, "toy/buttons": 1}


def test_dropped_episodes_keep_their_indices(tmp_path):
    one = collected(tmp_path / "a", arms(0, 2))
    write_shard(tmp_path / "b/toy.arm/000000", ARM, {0: arm(3, 7), 2: arm(4, 8)}, [DroppedEpisode(1, -3.0)])
    write_settings(tmp_path / "b", {"policy": "expert", "seed": 1, "episodes": {"toy/arm": 2}})
    merge([one, Dataset.open(tmp_path / "b")], tmp_path / "all", "")
    whole = Dataset.open(tmp_path / "all")
    assert held(whole, "toy/arm") == [(0, 0), (1, 1), (2, 7), (4, 8)]
    validate_dataset(whole.root)
    assert whole.manifests("toy/arm")[1].dropped == (DroppedEpisode(3, -3.0),)
    assert whole.settings["episodes"] == {"toy/arm": 4}


def test_an_episode_in_both_datasets_is_refused_by_name(tmp_path):
    one, other = collected(tmp_path / "a", arms(0, 3)), collected(tmp_path / "b", arms(2, 3))
    with pytest.raises(InputError, match=r"toy/arm: episode 0 of .*/b is also episode 2 of .*/a \(seed 2, fake\)"):
        merge([one, other], tmp_path / "all", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def unseeded(episode: Episode) -> Episode:
    return replace(episode, provenance=replace(episode.provenance, seed=-1))


def test_episodes_without_seeds_are_compared_by_their_steps(tmp_path):
    one = collected(tmp_path / "a", EpisodeStream(BUTTONS, [unseeded(buttons(5, 1))]))
    same = collected(tmp_path / "b", EpisodeStream(BUTTONS, [unseeded(buttons(5, 2)), unseeded(buttons(5, 1))]))
    with pytest.raises(InputError, match=r"episode 1 of .*/b is also episode 0 of .*/a \(the same steps\)"):
        merge([one, same], tmp_path / "all", "")
    other = collected(tmp_path / "c", EpisodeStream(BUTTONS, [unseeded(buttons(5, 2))]))
    merge([one, other], tmp_path / "all", "")
    assert len(held(Dataset.open(tmp_path / "all"), "toy/buttons")) == 2


def wide(spec: TaskSpec, name: str) -> TaskSpec:
    parts = [ObservationSpec(name, Modality.DISCRETE, (), 4 if name == "light" else 3)]
    return TaskSpec(spec.name, tuple(parts), spec.action, spec.max_steps)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (wide(BUTTONS, "light"), "the observation 'light'"),
        (replace(BUTTONS, max_steps=9), r"max_steps"),
        (replace(BUTTONS, action=replace(BUTTONS.action, num_values=(4,))), "the actions"),
    ],
)
def test_different_layouts_are_refused_by_the_part_that_differs(tmp_path, spec, says):
    one = collected(tmp_path / "a", EpisodeStream(BUTTONS, [buttons(5, 1)]))
    other = collected(tmp_path / "b", EpisodeStream(spec, [buttons(5, 2)]))
    with pytest.raises(InputError, match=f"toy/buttons: .*{says}"):
        merge([one, other], tmp_path / "all", "")


def test_columns_of_different_types_are_refused_by_name(tmp_path):
    made = arm(3, 1)
    made.observations["pose"] = made.observations["pose"].astype(float)
    one, other = collected(tmp_path / "a", arms(0, 1)), collected(tmp_path / "b", EpisodeStream(ARM, [made]))
    with pytest.raises(InputError, match=r"toy/arm: observation\.pose is .*float.* and .*double"):
        merge([one, other], tmp_path / "all", "")


def test_moments_of_imported_tasks_are_pooled(tmp_path):
    spec = replace(ARM, name="minari/arm")
    made = [[replace(e, provenance=replace(e.provenance, task=spec.name)) for e in arms(i, 2).episodes] for i in (0, 2)]
    one, other = (collected(tmp_path / name, EpisodeStream(spec, each)) for name, each in zip("ab", made, strict=True))
    merge([one, other], tmp_path / "all", "")
    write_dataset(tmp_path / "at-once", [EpisodeStream(spec, made[0] + made[1])], "", "")
    pooled, whole = (load_moments(Location.of(tmp_path / n))["minari/arm"]["pose"] for n in ("all", "at-once"))
    assert pooled.count == whole.count
    assert pooled.mean == pytest.approx(whole.mean)
    assert pooled.variance == pytest.approx(whole.variance)
