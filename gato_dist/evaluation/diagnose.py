"""`gato-dist diagnose`: compares a checkpoint's predictions on the expert's episodes with its own play."""

from pathlib import Path

import numpy as np

from actors.evaluate import evaluation_groups, play_expert
from gato_dist.config.data_sections import TaskConfig
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.evaluation.closed_loop_agreement import agreement_by_distance, play_labelled_episodes
from gato_dist.evaluation.diagnosis import Diagnosis, print_diagnosis
from gato_dist.evaluation.players import CheckpointPlayer, CheckpointRef, EpisodeScore, EvaluationOverrides, load_player
from gato_dist.evaluation.teacher_forced_agreement import TeacherForcedPredictions, predict_teacher_forced
from gato_dist.scores.results import TaskResult
from gato_dist.seeds import reference_seeds

TEMPERATURES = (0.0, 1.0)


def diagnose(checkpoint: Path, task: str, episodes: int) -> Diagnosis:
    """Plays the expert and, greedily and sampled, the checkpoint, and prints how they differ.

    The expert plays reference seeds and the checkpoint plays evaluation seeds; no training data comes from either.

    Args:
        checkpoint: the checkpoint's folder or exported file.
        task: one of the checkpoint's tasks.
        episodes: number of episodes of the expert, and of the checkpoint at each temperature.

    Returns:
        What was printed.

    Raises:
        InputError: if the path is no checkpoint, or the checkpoint does not know the task.
    """
    reference = CheckpointRef.of(checkpoint)
    player = load_player(reference, EvaluationOverrides(temperature=0.0))
    config = _task_config(player, task)
    expert_episodes = _expert_episodes(config, episodes)
    spec, version = player.tokenizer.tasks[task].spec, player.counters.weights_version
    labelled = play_labelled_episodes(player.evaluator, player.model, config, count=episodes, version=version)
    diagnosis = Diagnosis(
        task=task,
        expert_return=float(np.mean([episode.episode_return for episode in expert_episodes])),
        past_shown=_predict(player, config, expert_episodes),
        past_hidden=_predict_without_past(player, config, expert_episodes),
        closed_loop={temperature: _play(reference, temperature, task, episodes) for temperature in TEMPERATURES},
        distance_bins=agreement_by_distance(spec, labelled, expert_episodes),
    )
    print_diagnosis(diagnosis, spec.action, episodes)
    return diagnosis


def _task_config(player: CheckpointPlayer, task: str) -> TaskConfig:
    for config in player.config.tasks:
        if config.name == task:
            return config
    names = ", ".join(config.name for config in player.config.tasks)
    raise InputError(f"{task}: not one of the checkpoint's tasks, which are {names}")


def _expert_episodes(task: TaskConfig, count: int) -> list[Episode]:
    played = play_expert(task.name, reference_seeds(count), task.expert, task.expert_options)
    return sorted(played, key=lambda episode: episode.provenance.seed)


def _predict(player: CheckpointPlayer, task: TaskConfig, episodes: list[Episode]) -> TeacherForcedPredictions:
    return predict_teacher_forced(
        player.model,
        player.tokenizer.tasks[task.name],
        length=player.config.tokens.length,
        window_steps=task.window_steps,
        episodes=episodes,
    )


def _predict_without_past(
    player: CheckpointPlayer, task: TaskConfig, episodes: list[Episode]
) -> TeacherForcedPredictions | None:
    model = player.model
    if task.window_steps == 1 or model.config.past_actions == "masked":
        return None
    original = model.config
    model.config = original.model_copy(update={"past_actions": "masked"})
    try:
        return _predict(player, task, episodes)
    finally:
        model.config = original


def _play(checkpoint: CheckpointRef, temperature: float, task: str, episodes: int) -> TaskResult:
    player = load_player(checkpoint, EvaluationOverrides(temperature=temperature))
    played = [episode for seeds in evaluation_groups(episodes) for episode in player.play(task, seeds)]
    return player.result(task, [EpisodeScore.of(episode) for episode in played])
