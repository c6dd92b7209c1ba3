"""The changes on GitHub as an Atom feed, https://www.rfc-editor.org/rfc/rfc4287"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5
from xml.etree import ElementTree as ET

from ..database.changes import ChangeKind
from ..github.repository import UNSAFE

NAMESPACE = "http://www.w3.org/2005/Atom"
ENTRIES = UUID("d36bb40e-63f4-4b53-a3ee-54bbd08ae7a1")  # namespace of the entries' ids
NO_ENTRY = "1970-01-01T00:00:00Z"  # time of a feed without entries
NO_CHARACTER = re.compile(f"{UNSAFE.pattern}|[\ufffe\uffff]")  # in XML, or to be shown

TITLES = {
    ChangeKind.RENAMED: "{before} is now {after}",
    ChangeKind.ARCHIVED: "{repository} is archived",
    ChangeKind.UNARCHIVED: "{repository} is no longer archived",
    ChangeKind.UNAVAILABLE: "{repository} is unavailable",
    ChangeKind.AVAILABLE: "{repository} is available again",
    ChangeKind.LICENSE: "{repository} changed its license from {before} to {after}",
    ChangeKind.VISIBILITY: "{repository} changed its visibility from {before} to {after}",
}


def feed(changes: Sequence[dict[str, Any]], url: str, host: str) -> bytes:
    """Return the feed of changes, newest first, as XML.

    `url` is the feed's own, and `host` the web host of the repositories. An entry's id follows
    from the change, so that it stays the same at another address and in a restored database.
    """
    root = ET.Element("feed", xmlns=NAMESPACE)
    _add(root, "id", uuid5(NAMESPACE_URL, url).urn)
    _add(root, "title", "Changes on GitHub")
    _add(root, "updated", changes[0]["seen_at"] if changes else NO_ENTRY)
    _add(root, "link", rel="self", type="application/atom+xml", href=url)
    _add(_add(root, "author"), "name", "GitHub Task Tracker")
    for change in changes:
        texts = {name: "none" if value is None else value for name, value in change.items()}
        identity = f"{change['repository']} {change['kind']} {change['seen_at']}"
        entry = _add(root, "entry")
        _add(entry, "id", uuid5(ENTRIES, identity).urn)
        _add(entry, "title", TITLES[ChangeKind(change["kind"])].format_map(texts))
        _add(entry, "updated", change["seen_at"])
        page = f"https://{host}/{quote(change['repository'])}"
        _add(entry, "link", rel="alternate", type="text/html", href=page)
        _add(entry, "category", term=change["kind"])
        _add(
            entry,
            "summary",
            "GitHub sent this at {seen_at}, and something else at {previously_seen_at}.".format_map(
                texts
            ),
        )
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: ET.Element, name: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    element.text = NO_CHARACTER.sub("", text) or None
    return element
