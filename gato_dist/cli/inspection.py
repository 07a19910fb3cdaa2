"""`gato-dist tasks`, `model` and `doctor`: what there is, how large it is, and whether it works on this machine."""

from gato_dist.cli.number_types import non_negative_float
from gato_dist.cli.parser import CommandGroup


def add_commands(commands: CommandGroup) -> None:
    """Declares the commands that only show something."""
    tasks = commands.add_command("tasks", _tasks, help="list tasks with their experts and reference scores")
    tasks.add_argument("tasks", nargs="?", default="*", metavar="GLOB", help="such as 'metaworld/*' (default: all)")
    tasks.add_argument(
        "--speed",
        dest="speed_seconds",
        type=non_negative_float,
        default=0.0,
        metavar="SECONDS",
        help="let each expert play this long and show its episodes per hour; 0 is not at all (default: 0)",
    )

    model = commands.add_command("model", _model, help="show the parameters of model presets by part")
    model.add_argument("presets", nargs="*", default=[], metavar="PRESET", help="such as cpu-2m (default: all)")

    doctor = commands.add_command(
        "doctor", _doctor, help="check what works on this machine, and say how to fix what does not"
    )
    doctor.add_argument(
        "--json", dest="as_json", action="store_true", help="print all findings as JSON at the end (default: lines)"
    )


def _tasks(*, tasks: str, speed_seconds: float) -> None:
    from gato_dist.commands.task_list import print_tasks
    from gato_dist.tasks import match_tasks

    print_tasks(match_tasks(tasks), speed_seconds)


def _model(*, presets: list[str]) -> None:
    from gato_dist.commands.model_table import print_models

    print_models(presets)


def _doctor(*, as_json: bool) -> int:
    from gato_dist.doctor.examine import all_checks, examine, examine_json

    return examine_json(all_checks()) if as_json else examine(all_checks())
