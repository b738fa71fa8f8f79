"""Cells of CSV files for spreadsheets: text from elsewhere that would be run there as a formula."""

import re

FORMULA = ("=", "+", "-", "@", "\t")
_NUMBER = re.compile(r"[+-][\d\s.,eE%()\[\]±+-]*(inf|nan)?")


def harmless(value: object) -> object:
    """Text with an apostrophe before it where a spreadsheet would take it for a formula; anything else as it is.

    A carriage return, which readers take for the end of a row, is written as an escape.

    >>> harmless("=HYPERLINK(A1)"), harmless("-1.5 [-2.0, -1.0]"), harmless("mme")
    ("'=HYPERLINK(A1)", '-1.5 [-2.0, -1.0]', 'mme')
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r", "\\r")
    return f"'{text}" if text.startswith(FORMULA) and not _NUMBER.fullmatch(text) else text
