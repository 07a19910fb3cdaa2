"""`gato-dist play`: plays episodes of one task and makes a video of them, one frame per step."""

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from actors.experts.demonstrator import Demonstrator
from actors.experts.registry import make_expert
from actors.rollout import Transition, rollout
from gato_dist.envs.pictures import RenderStyle, draw_picture, render_style
from gato_dist.envs.registry import make_env
from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.seeds import EVALUATION_START, evaluation_seeds
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry
from gato_dist.utils.console import PLAIN_SECONDS, make_console
from gato_dist.utils.video import Film, check_video, film

CAPTION_NUMBERS = 4  # of an action with many dimensions
TEXT_LINES, TEXT_WIDTH = 2, 70  # lines and characters of a text observation in the caption
LIVE_SECONDS = 0.2  # between updates of the progress on a terminal

PolicyName = Literal["gato", "expert", "random"]
# Makes the environment and the policy for one seed.
DemonstratorFactory = Callable[[int], Demonstrator]


@dataclass(frozen=True, kw_only=True)
class PlayOptions:
    """What to play and where to write the video.

    Attributes:
        task: name of the task, such as `ale/pong`.
        video: the file to write, with the suffix .mp4 or .gif.
        policy: who acts. None: `gato`, if there is a checkpoint.
        checkpoint: the checkpoint of Gato; None for the other policies.
        episodes: number of episodes.
        seed: index of the first held-out seed. The same indices give the same episodes for every policy.
        max_steps: most steps to show of each episode. None: all.
        fps: frames per second. None: the suite's own rate.
    """

    task: str
    video: Path
    policy: PolicyName | None = None
    checkpoint: Path | None = None
    episodes: int = 1
    seed: int = 0
    max_steps: int | None = None
    fps: int | None = None


@dataclass
class EpisodeSummary:
    """The totals of an episode so far.

    Attributes:
        episode_return: sum of the rewards.
        steps: number of steps.
        success: whether the task was solved; None if the task does not report success.
        ended: whether the environment ended the episode, rather than `max_steps`.
    """

    episode_return: float = 0.0
    steps: int = 0
    success: bool | None = None
    ended: bool = False

    def add(self, step: Transition) -> None:
        """Adds one step of a single environment."""
        self.episode_return += float(step.rewards[0])
        self.steps += 1
        if step.success is not None:
            self.success = bool(self.success) or bool(step.success[0])
        self.ended = bool(step.terminated[0] or step.truncated[0])

    def __str__(self) -> str:
        success = "" if self.success is None else f", success {'yes' if self.success else 'no'}"
        stopped = "" if self.ended else ", stopped by --max-steps"
        return f"return {self.episode_return:.2f}, {self.steps} steps{success}{stopped}"


def play(options: PlayOptions) -> None:
    """Plays the episodes, writes the video and prints the result of each episode.

    Raises:
        InputError: if an option is wrong, before anything is written.
        RuntimeError: if the video cannot be written.
    """
    style, console = render_style(options.task), make_console()
    check_video(options.video)
    seeds = _held_out_seeds(options)
    policy_title, make_demonstrator = _policy(options)
    with film(options.video, options.fps or style.fps) as video:
        for index, seed in enumerate(seeds, 1):
            caption = Caption(
                title=f"{options.task}, {policy_title}",
                prefix=f"episode {index}   " if len(seeds) > 1 else "",
                style=style,
            )
            summary = _play_episode(make_demonstrator(seed), caption, video, options.max_steps, console)
            console.print(f"episode {index} of {len(seeds)}: {summary}", markup=False)
    width, height = video.size
    result = f"{options.video}: {video.frames} frames of {width}×{height}, {video.seconds:.1f} s"
    console.print(result, markup=False, soft_wrap=True)


class Camera:
    """A `VectorEnv` around another one with a single environment. Before each step it takes a picture.

    Attributes:
        picture: what the policy saw before the newest step, uint8 [H, W, 3].
    """

    def __init__(self, env: VectorEnv) -> None:
        self.spec, self.seeds = env.spec, env.seeds
        self.picture = np.zeros((1, 1, 3), np.uint8)
        self._env = env
        self._observations: Observations = {}

    def reset(self) -> TimeStep:
        """Resets the environment."""
        time_step = self._env.reset()
        self._observations = time_step.observations
        return time_step

    def step(self, actions: np.ndarray) -> TimeStep:
        """Takes a picture, then steps the environment."""
        self.picture = draw_picture(self._env, self._observations)
        time_step = self._env.step(actions)
        self._observations = time_step.observations
        return time_step

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


@dataclass(frozen=True)
class Caption:
    """The text below each frame of an episode.

    Attributes:
        title: the first line.
        prefix: the beginning of the second line.
        style: how the suite is shown; names its discrete actions.
    """

    title: str
    prefix: str
    style: RenderStyle

    def lines(self, env: VectorEnv, step: Transition, summary: EpisodeSummary) -> list[str]:
        """Returns the caption of one step: the same number of lines at every step of a task."""
        numbers = f"step {summary.steps}   return {summary.episode_return:.2f}   action {self._action(step.actions[0])}"
        return [self.title, self.prefix + numbers, *_text_observations(env, step)]

    def _action(self, action: np.ndarray) -> str:
        numbers = np.ravel(action).tolist()
        if len(numbers) == 1 and int(numbers[0]) < len(self.style.actions):
            return self.style.actions[int(numbers[0])]
        shown = [str(n) if isinstance(n, int) else f"{n:+.2f}" for n in numbers[:CAPTION_NUMBERS]]
        return " ".join(shown) + (" ..." if len(numbers) > CAPTION_NUMBERS else "")


def _text_observations(env: VectorEnv, step: Transition) -> list[str]:
    """Returns the text observations, each wrapped and padded to the same number of lines."""
    lines: list[str] = []
    for part in env.spec.observations:
        if part.modality is Modality.TEXT:
            text = str(step.observations[part.name][0])
            wrapped = textwrap.wrap(text, TEXT_WIDTH, max_lines=TEXT_LINES, placeholder=" ...")
            lines += [*wrapped, *[""] * (TEXT_LINES - len(wrapped))]
    return lines


def _play_episode(
    demonstrator: Demonstrator, caption: Caption, video: Film, max_steps: int | None, console: Console
) -> EpisodeSummary:
    """Adds one episode to the video. A frame shows an observation, the action on it, and the return after it."""
    summary = EpisodeSummary()
    with closing(Camera(demonstrator.env)) as env, _progress(console) as report:
        for step in rollout(env, demonstrator.policy, once=True):
            summary.add(step)
            video.add(env.picture, caption.lines(env, step, summary))
            report(summary)
            if summary.steps == max_steps:
                break
    return summary


def _policy(options: PlayOptions) -> tuple[str, DemonstratorFactory]:
    """Returns the policy's name for the caption, and its factory. Raises InputError if the options contradict."""
    name = options.policy or ("gato" if options.checkpoint else None)
    if name is None:
        raise InputError("play: give a CHECKPOINT before the task, or --policy expert or random")
    if (name == "gato") != (options.checkpoint is not None):
        problem = "needs a CHECKPOINT before the task" if name == "gato" else "takes no CHECKPOINT"
        raise InputError(f"play: --policy {name} {problem}")
    if options.checkpoint is not None:
        return f"gato ({options.checkpoint.resolve().name})", _gato(options.task, options.checkpoint)
    if name == "expert":
        kind = task_entry(options.task).expert
        return f"expert ({kind})", lambda seed: make_expert(options.task, [seed], kind=kind)
    return name, lambda seed: make_expert(options.task, [seed], kind=name)


def _gato(task: str, checkpoint: Path) -> DemonstratorFactory:
    """Returns Gato with the evaluation settings of the checkpoint's run.

    Raises InputError if the checkpoint cannot be read or was not trained on the task.
    """
    from actors.evaluate import Evaluator
    from learner.checkpoint import load_for_acting

    config, tokenizer, model, counters = load_for_acting(checkpoint)
    if task not in tokenizer.tasks:
        raise InputError(f"{task}: the checkpoint's tasks are {', '.join(tokenizer.tasks)}")
    evaluator = Evaluator(config, tokenizer)

    def make_demonstrator(seed: int) -> Demonstrator:
        policy = evaluator.policy(model, task, [seed], counters.weights_version)
        return Demonstrator(make_env(task, [seed], config.evaluation.threads), policy)

    return make_demonstrator


def _held_out_seeds(options: PlayOptions) -> list[int]:
    # envpool's seeds end at 2³¹. The upper half of them is for evaluation.
    if not 0 <= options.seed <= EVALUATION_START - options.episodes:
        raise InputError(f"play: --seed must be between 0 and {EVALUATION_START - options.episodes}")
    return evaluation_seeds(options.episodes, options.seed)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[EpisodeSummary], None]]:
    """Shows the progress of an episode: in place on a terminal, as an occasional line elsewhere."""
    last_shown = started = time.monotonic()

    def report(summary: EpisodeSummary) -> None:
        nonlocal last_shown
        now = time.monotonic()
        if now - last_shown < (LIVE_SECONDS if status else PLAIN_SECONDS):
            return
        last_shown = now
        rate = summary.steps / (now - started)
        line = f"step {summary.steps}, return {summary.episode_return:.2f}, {rate:.1f} steps/s"
        if status:
            status.update(line)
        else:
            console.print(line, markup=False)

    status = console.status("starting") if console.is_terminal else None
    with status or nullcontext():
        yield report
