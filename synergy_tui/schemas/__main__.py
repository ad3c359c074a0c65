"""``python -m synergy_tui.schemas``: write the shipped schema files."""

from synergy_tui.schemas import SCHEMAS, render, schema_path

for name, build in SCHEMAS.items():
    schema_path(name).write_text(render(build()), encoding="utf-8")
