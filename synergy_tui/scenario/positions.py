"""On which line of a TOML file each key stands: the standard library's parser does not say.

The text must already be valid TOML; the scan only follows its structure.
"""

from __future__ import annotations

import bisect
import re
import tomllib

Key = tuple[str | int, ...]


class Positions:
    """Key path → line of a TOML text that :mod:`tomllib` has accepted."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._newlines = [match.start() for match in re.finditer("\n", self._text)]
        self._at = 0
        self._lines: dict[Key, int] = {(): 1}
        self._arrays: dict[Key, int] = {}
        try:
            self._scan()
        except (IndexError, ValueError):
            # A construct this scan does not follow costs line numbers, never the message.
            return

    def line(self, path: Key) -> int:
        """Return the line of ``path``, or of the nearest table or list around it that has one."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _scan(self) -> None:
        table: Key = ()
        while self._skip_blank():
            if self._text.startswith("[[", self._at):
                self._at += 2
                header = self._table(self._key())
                index = self._arrays.get(header, -1) + 1
                self._arrays[header] = index
                table = (*header, index)
                self._record(header)
                self._record(table)
                self._to_line_end()
            elif self._text[self._at] == "[":
                self._at += 1
                table = self._table(self._key())
                self._record(table)
                self._to_line_end()
            else:
                self._pair(table)
                self._to_line_end()

    def _record(self, path: Key) -> None:
        self._lines.setdefault(path, bisect.bisect_left(self._newlines, self._at) + 1)

    def _table(self, key: Key) -> Key:
        """Put the index of the newest element behind each part that names an array of tables."""
        path: Key = ()
        for number, part in enumerate(key):
            path = (*path, part)
            if path in self._arrays and number < len(key) - 1:
                path = (*path, self._arrays[path])
        return path

    def _skip_blank(self) -> bool:
        """Go to the next token over white space, newlines and comments; whether there is one."""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "#":
                self._to_line_end()
            elif character.isspace():
                self._at += 1
            else:
                return True
        return False

    def _to_line_end(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _key(self) -> Key:
        parts: list[str] = []
        while True:
            self._skip_blank()
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                quoted = self._text[start : self._at]
                parts.append(str(next(iter(tomllib.loads(f"{quoted} = 0")))))
            else:
                while self._text[self._at].isalnum() or self._text[self._at] in "_-":
                    self._at += 1
                parts.append(self._text[start : self._at])
            while self._text[self._at] in " \t":
                self._at += 1
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _pair(self, table: Key) -> None:
        start = self._at
        path = table
        for part in self._key():
            path = (*path, part)
            after, self._at = self._at, start
            self._record(path)
            self._at = after
        self._at = self._text.index("=", self._at) + 1
        self._skip_blank()
        self._value(path)

    def _value(self, path: Key) -> None:
        character = self._text[self._at]
        if character in "\"'":
            self._string()
        elif character == "[":
            self._at += 1
            index = 0
            while self._more("]"):
                self._record((*path, index))
                self._value((*path, index))
                index += 1
        elif character == "{":
            self._at += 1
            while self._more("}"):
                self._pair(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}\n#":
                self._at += 1

    def _more(self, closing: str) -> bool:
        """Go to the next item of a list or inline table, or past its closing bracket."""
        self._skip_blank()
        if self._text[self._at] == ",":
            self._at += 1
            self._skip_blank()
        if self._text[self._at] == closing:
            self._at += 1
            return False
        return True

    def _string(self) -> None:
        quote = self._text[self._at]
        mark = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(mark)
        while not self._text.startswith(mark, self._at):
            self._at += 2 if self._text[self._at] == "\\" and quote == '"' else 1
        self._at += len(mark)
        while len(mark) == 3 and self._text.startswith(quote, self._at):
            self._at += 1
