"""All kinds of input: how each is damaged, and what reads it."""

from pathlib import Path
from typing import Any

from gato_dist.envs.registry import task_spec
from replay.dataset.dataset import Dataset
from tests.fuzz import folders, words
from tests.fuzz.kinds_types import Kind


class Makings:
    """Valid inputs that are made once and damaged later. root: a folder for them."""

    def __init__(self, root: Path) -> None:
        from gato_dist.scores.table import ScoreTable
        from learner.checkpoint import export_weights
        from replay.dataset.writing import EpisodeStream, write_dataset
        from replay.formats.jat_export import export_jat
        from replay.formats.minari_export import export_minari
        from tests.gato_dist.report.test_run_page import row
        from tests.learner.test_checkpoint import small_folder
        from tests.support.episodes import arm, buttons
        from tests.support.fakes import ARM, BUTTONS

        # Whatever libraries do as they are loaded is none of an input's doing.
        for task in ("procgen/coinrun", "sokoban/boxoban", "dm_control/cartpole-swingup", "metaworld/reach-v3"):
            task_spec(task)
        self.root = root
        small_folder(root / "checkpoints", 1)
        self.checkpoint = next((root / "checkpoints").glob("step-*"))
        export_weights(self.checkpoint, root / "weights.safetensors")
        self.dataset = root / "set"
        write_dataset(
            self.dataset,
            [EpisodeStream(ARM, [arm(5, i) for i in range(3)]), EpisodeStream(BUTTONS, [buttons(5, i) for i in range(3)])],
            "fake", "by hand",
        )  # fmt: skip
        export_jat(Dataset.open(self.dataset), root / "jat")
        export_minari(Dataset.open(self.dataset), root / "minari")
        self.run = root / "run"
        self.run.mkdir()
        table = ScoreTable(self.run / "scores.csv")
        table.append(row())
        table.append(row("toy/arm", None))
        (self.run / "config.yaml").write_text("name: small\nseed: 0\n")
        self._episodes(table.rows[0])

    def _episodes(self, row: Any) -> None:
        from gato_dist.records.cost import Cost
        from gato_dist.scores.results import EpisodeLog, TaskResult

        EpisodeLog(self.run / "episodes.jsonl").append(
            TaskResult(row=row, returns=(1.0, 2.0), successes=(True, False), tokens=10, seconds=1.0)
        )
        Cost(
            starts=1, env_steps=2, tokens=3, training_seconds=4.0, seconds=5.0, hardware="a", versions={"b": "c"}
        ).save(self.run / "cost.json")


def kinds(makings: Makings) -> dict[str, Kind]:
    """Returns for each kind a function that draws an input, writes it to a folder and returns its reader."""
    return {
        "config": words.bad_config, "override": words.bad_override, "arguments": words.bad_arguments, "task glob": words.bad_glob, "task file": words.bad_task_file,
        "reference": words.bad_reference, "url": words.bad_url, "tokenizer": words.bad_tokenizer,
        "checkpoint": lambda draw, folder: folders.bad_checkpoint(draw, folder, makings.checkpoint),
        "exported weights": lambda draw, folder: folders.bad_weights(draw, folder, makings.root / "weights.safetensors"),
        "dataset": lambda draw, folder: folders.bad_dataset(draw, folder, makings.dataset),
        "run folder": lambda draw, folder: folders.bad_run(draw, folder, makings.run),
        "JAT": lambda draw, folder: folders.bad_jat(draw, folder, makings.root / "jat"),
        "Minari": lambda draw, folder: folders.bad_minari(draw, folder, makings.root / "minari"),
        "corpus": folders.bad_corpus,
    }  # fmt: skip
