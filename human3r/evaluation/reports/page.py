"""The report as one self-contained HTML file."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from human3r.atomic import write_text
from human3r.evaluation.reports.report import Picture, Section, sections_of
from human3r.evaluation.runner import EvaluationRun

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d8dee4; --own: #fff3d6; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #3a424b; --own: #4a3a12; --page: #14181c; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 1200px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
p { color: var(--soft); max-width: 80ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 12px 4px 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td { max-width: 60ch; }
td { white-space: nowrap; } td:last-child { white-space: normal; overflow-wrap: break-word; min-width: 20ch; }
tr.own td { background: var(--own); font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; max-width: 100%; } img { max-width: 100%; height: auto; border-radius: 4px; background: #fff; }
.pictures img { min-width: min(320px, 100%); }
figcaption { color: var(--soft); font-size: 13px; }
"""
_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def page_of(run: EvaluationRun, out: Path) -> str:
    """Return the report as HTML; pictures are read from ``out``; missing ones are skipped."""
    title = escape(run.benchmark.protocol.title)
    body = "\n".join(_section(section, out) for section in sections_of(run))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: {escape(run.model)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<p>Model {escape(run.model)}.</p>\n{body}\n</body>\n</html>\n"
    )


def write_page(run: EvaluationRun, out: Path) -> Path:
    """Write ``report.html`` into ``out``, after ``write_report``.

    Raises:
        DiskFullError: The folder cannot be written.
    """
    path = out / "report.html"
    write_text(path, page_of(run, out))
    return path


def _section(section: Section, out: Path) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.rows:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in section.header)
        rows = "\n".join(
            f"<tr{' class=own' if index in section.own_rows else ''}>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in row)
            + "</tr>"
            for index, row in enumerate(section.rows)
        )
        parts.append(f'<div class="scroll"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>')
    figures = [_figure(picture, out) for picture in section.pictures]
    if any(figures):
        parts.append('<div class="pictures">\n' + "\n".join(filter(None, figures)) + "\n</div>")
    return "\n".join(parts)


def _figure(picture: Picture, out: Path) -> str:
    path = out / picture.path
    if path.suffix not in _TYPES or not path.resolve().is_relative_to(out.resolve()) or not path.is_file():
        return ""
    content = base64.b64encode(path.read_bytes()).decode()
    caption = escape(picture.caption)
    source = f"data:{_TYPES[path.suffix]};base64,{content}"
    return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
