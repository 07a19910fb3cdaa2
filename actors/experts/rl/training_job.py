"""What one training of an expert is: the task, the hyperparameters and where to save."""

from dataclasses import dataclass
from pathlib import Path

from actors.experts.rl.train_settings import Settings


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One training.

    Attributes:
        task: name of the task.
        settings: hyperparameters.
        steps: environment steps after which the training ends.
        seed: of the networks, the actions and the environments.
        folder: where the policy and the state of the training are saved.
    """

    task: str
    settings: Settings
    steps: int
    seed: int
    folder: Path
