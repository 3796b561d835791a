"""What became of a batch: ``batch.json`` after every clip, ``batch.csv`` and ``batch.html`` beside it at the end."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from human3r.commands.batch.places import Place
from human3r.commands.batch.tasks import ClipTask, Line

JSON_NAME, CSV_NAME, HTML_NAME = "batch.json", "batch.csv", "batch.html"
_SCHEMA = "human3r-batch/1"
_COLUMNS = ("clip", "state", "frames", "people", "fps", "seconds", "error", "output")
_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
    "th,td{padding:.3em .8em;border-bottom:1px solid #8884;text-align:left}.failed{color:#c0392b}"
)


class BatchReport:
    """Lines of all clips, in the order of the tasks.

    Args:
        output: The batch's folder.
        tasks: All its clips.
    """

    def __init__(self, output: Place, tasks: Sequence[ClipTask]) -> None:
        self._output = output
        self._lines: dict[str, Line] = {task.clip: task.line("waiting") for task in tasks}

    def add(self, line: Line) -> None:
        """Replace the line of a clip."""
        self._lines[line["clip"]] = line

    @property
    def counts(self) -> dict[str, int]:
        """Clips by state: done, failed, waiting."""
        counts = Counter(line["state"] for line in self._lines.values())
        return {state: counts[state] for state in ("done", "failed", "waiting")}

    def write_json(self) -> None:
        """Write ``batch.json``."""
        document = {"schema": _SCHEMA, **self.counts, "clips": list(self._lines.values())}
        self._output.child(JSON_NAME).write(json.dumps(document, indent=1) + "\n")

    def write(self) -> None:
        """Write all three files."""
        self.write_json()
        table = io.StringIO()
        rows = [[line.get(name, "") for name in _COLUMNS] for line in self._lines.values()]
        csv.writer(table, lineterminator="\n").writerows([_COLUMNS, *rows])
        self._output.child(CSV_NAME).write(table.getvalue())
        self._output.child(HTML_NAME).write(self._page())

    def _page(self) -> str:
        title = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        head = "".join(f"<th>{name}</th>" for name in (*_COLUMNS[:-1], "files"))
        rows = "\n".join(_row(line) for line in self._lines.values())
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Clips: {title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1>\n<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></html>\n"
        )


def _row(line: Line) -> str:
    cells = [html.escape(str(line.get(name, ""))) for name in _COLUMNS[:-1]]
    # Relative, so that the folder can be moved.
    folder = quote(line["output"].rstrip("/").rpartition("/")[2])
    links = [f'<a href="{folder}/{quote(name)}">{html.escape(name)}</a>' for name in line.get("files", ())]
    return f'<tr class="{line["state"]}">' + "".join(f"<td>{cell}</td>" for cell in (*cells, " ".join(links))) + "</tr>"
