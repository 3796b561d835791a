"""Reports of a batch: ``batch.json`` after every clip, ``batch.csv`` and ``batch.html`` at the end."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from human3r.commands.batch.locations import Location
from human3r.commands.batch.tasks import ClipTask, Entry

JSON_NAME, CSV_NAME, HTML_NAME = "batch.json", "batch.csv", "batch.html"
_SCHEMA = "human3r-batch/1"
_COLUMNS = ("clip", "state", "frames", "people", "fps", "seconds", "error", "output")
_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
    "th,td{padding:.3em .8em;border-bottom:1px solid #8884;text-align:left}.failed{color:#c0392b}"
)


class BatchReport:
    """The entries of all clips, in the order of the tasks."""

    def __init__(self, output: Location, tasks: Sequence[ClipTask]) -> None:
        self._output = output
        self._entries: dict[str, Entry] = {task.clip: task.entry("waiting") for task in tasks}

    def add(self, entry: Entry) -> None:
        """Replace the entry of its clip."""
        self._entries[entry["clip"]] = entry

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips by state."""
        counts = Counter(entry["state"] for entry in self._entries.values())
        return {state: counts[state] for state in ("done", "failed", "waiting")}

    def write_json(self) -> None:
        """Write ``batch.json``."""
        document = {"schema": _SCHEMA, **self.counts, "clips": list(self._entries.values())}
        self._output.child(JSON_NAME).write(json.dumps(document, indent=1) + "\n")

    def write(self) -> None:
        """Write all three files."""
        self.write_json()
        table = io.StringIO()
        rows = [[entry.get(name, "") for name in _COLUMNS] for entry in self._entries.values()]
        csv.writer(table, lineterminator="\n").writerows([_COLUMNS, *rows])
        self._output.child(CSV_NAME).write(table.getvalue())
        self._output.child(HTML_NAME).write(self._page())

    def _page(self) -> str:
        title = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        head = "".join(f"<th>{name}</th>" for name in (*_COLUMNS[:-1], "files"))
        rows = "\n".join(_row(entry) for entry in self._entries.values())
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Clips: {title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1>\n<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></html>\n"
        )


def _row(entry: Entry) -> str:
    cells = [html.escape(str(entry.get(name, ""))) for name in _COLUMNS[:-1]]
    # Relative links survive moving the folder.
    folder = quote(entry["output"].rstrip("/").rpartition("/")[2])
    links = [f'<a href="{folder}/{quote(name)}">{html.escape(name)}</a>' for name in entry.get("files", ())]
    return (
        f'<tr class="{entry["state"]}">' + "".join(f"<td>{cell}</td>" for cell in (*cells, " ".join(links))) + "</tr>"
    )
