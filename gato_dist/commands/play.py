"""Shows a policy at work: plays episodes of one task and makes a video of them, a frame for every step."""

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from actors.experts.demonstrator import Demonstrator
from actors.experts.registry import make_expert
from actors.rollout import Transition, rollout
from gato_dist.envs.pictures import RenderStyle, draw_picture, render_style
from gato_dist.envs.registry import make_env
from gato_dist.errors import InputError
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.seeds import EVALUATION_START, evaluation_seeds
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry
from gato_dist.utils.console import PLAIN_SECONDS, make_console
from gato_dist.utils.video import Film, check_video, film

# Numbers of an action that a caption has room for, and lines of a mission.
SHOWN_NUMBERS, TEXT_LINES, TEXT_WIDTH = 4, 2, 70


@dataclass(frozen=True)
class Request:
    """What to show.

    policy: `gato`, `expert` or `random`; `gato` where it is not given and a checkpoint is. seed: the first of
    evaluation's worlds, so that policies can be watched in the same ones. max_steps: of each episode;
    fps: the suite's own where not given.
    """

    task: str
    video: Path
    policy: str | None = None
    checkpoint: Path | None = None
    episodes: int = 1
    seed: int = 0
    max_steps: int | None = None
    fps: int | None = None


@dataclass
class Played:
    """An episode so far. success: None where the task reports none. ended: by itself, not by `max_steps`."""

    total: float = 0.0
    steps: int = 0
    success: bool | None = None
    ended: bool = False

    def add(self, step: Transition) -> None:
        self.total += float(step.rewards[0])
        self.steps += 1
        if step.success is not None:
            self.success = bool(self.success) or bool(step.success[0])
        self.ended = bool(step.terminated[0] or step.truncated[0])

    def __str__(self) -> str:
        success = "" if self.success is None else f", success {'yes' if self.success else 'no'}"
        return f"return {self.total:.2f}, {self.steps} steps{success}{'' if self.ended else ', cut there'}"


Player = Callable[[int], Demonstrator]


def play(request: Request) -> None:
    """Plays, writes the video and prints what came of it. Raises InputError before anything is written."""
    style, console = render_style(request.task), make_console()
    check_video(request.video)
    seeds = _seeds(request)
    name, player = _player(request)
    with film(request.video, request.fps or style.fps) as made:
        for i, seed in enumerate(seeds):
            lines = [f"{request.task}, {name}", f"episode {i + 1}   " if len(seeds) > 1 else ""]
            played = _episode(request, player(seed), lines, made, console)
            console.print(f"episode {i + 1} of {len(seeds)}: {played}", markup=False)
    width, height = made.size
    said = f"{request.video}: {made.frames} frames of {width}×{height}, {made.seconds:.1f} s"
    console.print(said, markup=False, soft_wrap=True)


class Camera:
    """The `VectorEnv` port over another one of a single environment: before every step, it takes a picture."""

    def __init__(self, env: VectorEnv) -> None:
        self.spec, self.seeds = env.spec, env.seeds
        self.picture = np.zeros((1, 1, 3), np.uint8)
        self._env = env

    def reset(self) -> TimeStep:
        self._now = self._env.reset()
        return self._now

    def step(self, actions: np.ndarray) -> TimeStep:
        self.picture = draw_picture(self._env, self._now.observations)
        self._now = self._env.step(actions)
        return self._now

    def close(self) -> None:
        self._env.close()


def _episode(request: Request, player: Demonstrator, lines: list[str], made: Film, console: Console) -> Played:
    """One episode into the film; a frame shows what was seen, what was done then, and the return with its reward.

    lines: the caption's first line, and the beginning of its second.
    """
    style, played = render_style(request.task), Played()
    title, beginning = lines
    with closing(Camera(player.env)) as env, _progress(console) as tell:
        for step in rollout(env, player.policy, once=True):
            played.add(step)
            made.add(env.picture, [title, beginning + _numbers(step, played, style), *_texts(env, step)])
            tell(played)
            if played.steps == request.max_steps:
                break
    return played


def _numbers(step: Transition, played: Played, style: RenderStyle) -> str:
    return f"step {played.steps}   return {played.total:.2f}   action {_action(step.actions[0], style)}"


def _texts(env: VectorEnv, step: Transition) -> list[str]:
    """What the observation says in words: as many lines at every step of a task."""
    lines: list[str] = []
    for part in env.spec.observations:
        if part.modality is Modality.TEXT:
            text = str(step.observations[part.name][0])
            wrapped = textwrap.wrap(text, TEXT_WIDTH, max_lines=TEXT_LINES, placeholder=" ...")
            lines += [*wrapped, *[""] * (TEXT_LINES - len(wrapped))]
    return lines


def _action(action: np.ndarray, style: RenderStyle) -> str:
    numbers = np.ravel(action).tolist()
    if len(numbers) == 1 and int(numbers[0]) < len(style.actions):
        return style.actions[int(numbers[0])]
    words = [str(n) if isinstance(n, int) else f"{n:+.2f}" for n in numbers[:SHOWN_NUMBERS]]
    return " ".join(words) + (" ..." if len(numbers) > SHOWN_NUMBERS else "")


def _player(request: Request) -> tuple[str, Player]:
    """The policy's name for people, and what makes it and its environment for a seed. Raises InputError."""
    kind = request.policy or ("gato" if request.checkpoint else None)
    if kind is None:
        raise InputError("play: give a CHECKPOINT before the task, or --policy expert or random")
    if (kind == "gato") != (request.checkpoint is not None):
        wrong = "needs a CHECKPOINT before the task" if kind == "gato" else "takes no CHECKPOINT"
        raise InputError(f"play: --policy {kind} {wrong}")
    if request.checkpoint is not None:
        return f"gato ({request.checkpoint.resolve().name})", _gato(request.task, request.checkpoint)
    expert = task_entry(request.task).expert if kind == "expert" else kind
    name = f"expert ({expert})" if kind == "expert" else kind
    return name, lambda seed: make_expert(request.task, [seed], kind=expert)


def _gato(task: str, checkpoint: Path) -> Player:
    """Gato as the checkpoint's run evaluates it. Raises InputError for a wrong checkpoint or a task not in it."""
    from actors.evaluate import Evaluator
    from learner.checkpoint import load_for_acting

    config, tokenizer, model, counters = load_for_acting(checkpoint)
    if task not in tokenizer.tasks:
        raise InputError(f"{task}: the checkpoint's tasks are {', '.join(tokenizer.tasks)}")
    evaluator = Evaluator(config, tokenizer)

    def make(seed: int) -> Demonstrator:
        policy = evaluator.policy(model, task, [seed], counters.weights_version)
        return Demonstrator(make_env(task, [seed], config.evaluation.threads), policy)

    return make


def _seeds(request: Request) -> list[int]:
    # envpool's seeds end below 2³¹, and evaluation's begin halfway.
    if not 0 <= request.seed <= EVALUATION_START - request.episodes:
        raise InputError(f"play: --seed is a number from 0 to {EVALUATION_START - request.episodes}")
    return evaluation_seeds(request.episodes, request.seed)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Played], None]]:
    """Shows how far an episode is: in place on a terminal, now and then a line elsewhere."""
    shown = began = time.monotonic()

    def tell(played: Played) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < (0.2 if status else PLAIN_SECONDS):
            return
        shown = now
        line = f"step {played.steps}, return {played.total:.2f}, {played.steps / (now - began):.1f} steps/s"
        if status:
            status.update(line)
        else:
            console.print(line, markup=False)

    status = console.status("starting") if console.is_terminal else None
    with status or nullcontext():
        yield tell
