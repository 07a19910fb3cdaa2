"""Writes the table of the shipped tasks' specs: `python -m tests.contracts.layouts`."""

from gato_dist.envs.layouts import FILE
from gato_dist.envs.registry import package_layout
from gato_dist.tasks import TaskEntry, task_table
from gato_dist.utils.typed_json import to_json


def line(entry: TaskEntry) -> str:
    """Returns the line of the table for a task, as its package reports the spec."""
    return to_json(package_layout(entry).to_dict())


if __name__ == "__main__":
    lines = [line(entry) for entry in task_table().values() if not entry.user_defined]
    FILE.write_text("".join(f"{each}\n" for each in lines), "utf-8")
    print(f"{FILE}: {len(lines)} tasks")
