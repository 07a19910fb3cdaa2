"""`gato-dist play` and `generate`: what a policy does, and what a model writes."""

from pathlib import Path
from typing import TYPE_CHECKING

from gato_dist.cli.number_types import non_negative_float, positive_int, seed
from gato_dist.cli.parser import CommandGroup

if TYPE_CHECKING:
    from gato_dist.commands.play import PolicyName


def add_commands(commands: CommandGroup) -> None:
    """Declares `play` and `generate`."""
    play = commands.add_command("play", _play, help="make a video of a policy in one task")
    play.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="required for --policy gato")
    play.add_argument("task", metavar="TASK", help="such as ale/pong")
    play.add_argument(
        "--policy", choices=("gato", "expert", "random"), help="who acts (default: gato, if a CHECKPOINT is given)"
    )
    play.add_argument("--video", type=Path, required=True, metavar="FILE", help="the video to write, .mp4 or .gif")
    play.add_argument(
        "--episodes", type=positive_int, default=1, metavar="N", help="episodes to play (default: %(default)s)"
    )
    play.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="the first held-out seed, counted from 0; evaluation plays the same ones (default: %(default)s)",
    )
    play.add_argument(
        "--max-steps", type=positive_int, metavar="N", help="steps to show of each episode (default: all)"
    )
    play.add_argument(
        "--fps", type=positive_int, metavar="N", help="frames per second, one frame per step (default: the suite's)"
    )

    generate = commands.add_command("generate", _generate, help="describe an image, answer, or continue a text")
    generate.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a model that was trained on corpora")
    generate.add_argument("--image", type=Path, metavar="FILE", help="image to write about (default: none)")
    generate.add_argument(
        "--text", default="", help="text to continue, such as 'Q: what colour is it? A:' (default: empty)"
    )
    generate.add_argument(
        "--temperature",
        type=non_negative_float,
        default=0.0,
        metavar="T",
        help="sampling temperature; 0 is greedy (default: 0)",
    )
    generate.add_argument(
        "--max-tokens", type=positive_int, default=64, metavar="N", help="most tokens to write (default: %(default)s)"
    )
    generate.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed for sampling above temperature 0 (default: %(default)s)"
    )


def _play(
    *,
    checkpoint: Path | None,
    task: str,
    policy: "PolicyName | None",
    video: Path,
    episodes: int,
    seed: int,
    max_steps: int | None,
    fps: int | None,
) -> None:
    from gato_dist.commands.play import PlayOptions, play

    play(
        PlayOptions(
            task=task,
            video=video,
            policy=policy,
            checkpoint=checkpoint,
            episodes=episodes,
            seed=seed,
            max_steps=max_steps,
            fps=fps,
        )
    )


def _generate(
    *, checkpoint: Path, image: Path | None, text: str, temperature: float, max_tokens: int, seed: int
) -> None:
    from gato_dist.commands.generate import GenerateOptions, generate

    options = GenerateOptions(
        checkpoint=checkpoint, image=image, text=text, temperature=temperature, max_tokens=max_tokens, seed=seed
    )
    print(generate(options))
