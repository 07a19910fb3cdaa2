"""Collections join into one that is as good as any, or are refused by the name of what stands against it."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gato_dist.datasets.inspect import validate_dataset
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.episodes import Dropped, write_shard
from replay.dataset.merge import merge
from replay.dataset.moments import load_moments
from replay.dataset.storage import Location
from replay.dataset.writing import Source, write_dataset, write_settings
from tests.replay.formats.test_interop import arm, buttons
from tests.support.fakes import ARM, BUTTONS


def collected(root: Path, *sources: Source, policy: str = "expert", seed: int = 0) -> Dataset:
    """As `gato-dist collect` would have written it."""
    write_dataset(root, sources, policy, "")
    counts = {source.spec.name: len(source.episodes) for source in sources}  # type: ignore[arg-type]
    write_settings(root, {"policy": policy, "seed": seed, "episodes": counts})
    return Dataset.open(root)


def arms(first: int, count: int) -> Source:
    return Source(ARM, [arm(3 + i % 4, i) for i in range(first, first + count)])


def held(dataset: Dataset, task: str) -> list[tuple[int, int]]:
    """(index, seed) of each episode."""
    entries = [entry for manifest in dataset.manifests(task) for entry in manifest.entries]
    return [(entry.index, entry.provenance.seed) for entry in entries]


def test_collections_of_one_task_are_numbered_through_and_their_rows_too(tmp_path):
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


def test_tasks_of_one_collection_that_two_machines_made_can_be_collected_further(tmp_path):
    one = collected(tmp_path / "a", arms(0, 4), seed=5)
    other = collected(tmp_path / "b", Source(BUTTONS, [buttons(3, 0)]), seed=5)
    merge([one, other], tmp_path / "all", "")
    settings = Dataset.open(tmp_path / "all").settings
    assert (settings["policy"], settings["seed"]) == ("expert", 5)
    assert settings["episodes"] == {"toy/arm": 4, "toy/buttons": 1}


def test_episodes_that_were_dropped_keep_their_places(tmp_path):
    one = collected(tmp_path / "a", arms(0, 2))
    write_shard(tmp_path / "b/toy.arm/000000", ARM, {0: arm(3, 7), 2: arm(4, 8)}, [Dropped(1, -3.0)])
    write_settings(tmp_path / "b", {"policy": "expert", "seed": 1, "episodes": {"toy/arm": 2}})
    merge([one, Dataset.open(tmp_path / "b")], tmp_path / "all", "")
    whole = Dataset.open(tmp_path / "all")
    assert held(whole, "toy/arm") == [(0, 0), (1, 1), (2, 7), (4, 8)]
    validate_dataset(whole.root)
    assert whole.manifests("toy/arm")[1].dropped == (Dropped(3, -3.0),)
    assert whole.settings["episodes"] == {"toy/arm": 4}


def test_an_episode_that_both_hold_is_refused_by_name(tmp_path):
    one, other = collected(tmp_path / "a", arms(0, 3)), collected(tmp_path / "b", arms(2, 3))
    with pytest.raises(InputError, match=r"toy/arm: episode 0 of .*/b is also episode 2 of .*/a \(seed 2, fake\)"):
        merge([one, other], tmp_path / "all", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def unseeded(episode: Episode) -> Episode:
    return replace(episode, provenance=replace(episode.provenance, seed=-1))


def test_episodes_without_seeds_are_told_apart_by_what_they_hold(tmp_path):
    one = collected(tmp_path / "a", Source(BUTTONS, [unseeded(buttons(5, 1))]))
    same = collected(tmp_path / "b", Source(BUTTONS, [unseeded(buttons(5, 2)), unseeded(buttons(5, 1))]))
    with pytest.raises(InputError, match=r"episode 1 of .*/b is also episode 0 of .*/a \(the same steps\)"):
        merge([one, same], tmp_path / "all", "")
    other = collected(tmp_path / "c", Source(BUTTONS, [unseeded(buttons(5, 2))]))
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
def test_layouts_that_differ_are_refused_by_the_part(tmp_path, spec, says):
    one = collected(tmp_path / "a", Source(BUTTONS, [buttons(5, 1)]))
    other = collected(tmp_path / "b", Source(spec, [buttons(5, 2)]))
    with pytest.raises(InputError, match=f"toy/buttons: .*{says}"):
        merge([one, other], tmp_path / "all", "")


def test_columns_of_other_types_are_refused_by_name(tmp_path):
    made = arm(3, 1)
    made.observations["pose"] = made.observations["pose"].astype(float)
    one, other = collected(tmp_path / "a", arms(0, 1)), collected(tmp_path / "b", Source(ARM, [made]))
    with pytest.raises(InputError, match=r"toy/arm: observation\.pose is .*float.* and .*double"):
        merge([one, other], tmp_path / "all", "")


def test_the_moments_of_imported_tasks_are_pooled(tmp_path):
    spec = replace(ARM, name="minari/arm")
    made = [[replace(e, provenance=replace(e.provenance, task=spec.name)) for e in arms(i, 2).episodes] for i in (0, 2)]
    one, other = (collected(tmp_path / name, Source(spec, each)) for name, each in zip("ab", made, strict=True))
    merge([one, other], tmp_path / "all", "")
    write_dataset(tmp_path / "at-once", [Source(spec, made[0] + made[1])], "", "")
    pooled, whole = (load_moments(Location.of(tmp_path / n))["minari/arm"]["pose"] for n in ("all", "at-once"))
    assert pooled.count == whole.count
    assert pooled.mean == pytest.approx(whole.mean)
    assert pooled.variance == pytest.approx(whole.variance)
