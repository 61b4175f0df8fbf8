"""Texts before they are written or printed: secrets are taken out here, in one place. Standard library alone."""

from __future__ import annotations

import re

from climrecon.parameters import FACETS

STARS = "***"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\]+")
_USER = re.compile(r"(?<=://)[^/?#]*@")
#: A value in a query or fragment, or a query without names.
_VALUE = re.compile(r"(?P<before>[?&;#])(?P<name>[^=&;#]*=)?(?P<value>[^&;#]+)")
#: user:password@host without a scheme, as proxies are written.
_BARE_USER = re.compile(r"(?<![^\s'\"=(,])[^\s'\"=:@/(,]+:[^\s'\"@/]+@(?=[A-Za-z0-9\[])")
_NAMED = re.compile(r"(?i)(\b[\w-]*(?:token|passw(?:or)?d|secret|api_?key|credential)[\w-]*\s?[=:]\s?)[^\s&;,'\"<>\\]+")


def redacted(text: str) -> str:
    """``text`` without secrets: user and password of URLs, values of their queries, values of names such as ``TOKEN=``.

    Values of Freva's facets in a query (``project=observations``) stay: they name the data. Bytes of file names that are
    no UTF-8 are escaped, since no file or terminal takes them.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    if "://" in text:
        text = _URL.sub(lambda match: _url(match[0]), text)
    return _NAMED.sub(rf"\1{STARS}", _BARE_USER.sub(f"{STARS}@", text))


def _url(text: str) -> str:
    return _VALUE.sub(_value, _USER.sub(f"{STARS}@", text))


def _value(match: re.Match[str]) -> str:
    before, name = match["before"], match["name"] or ""
    if name[:-1].lower() in FACETS or (before == "#" and not name):
        return match[0]
    return f"{before}{name}{STARS}"
