"""Names in the price book that an unpriced one may have meant."""

from __future__ import annotations

import difflib

from pricing.match import Matcher
from pricing.names import MAX_NAME, canonical_provider, spellings

_TOO_COMMON = frozenset({"latest", "preview", "instruct", "chat"})


def suggest(matcher: Matcher, provider: str, name: str, limit: int = 3) -> tuple[str, ...]:
    """Up to ``limit`` names, as ``provider/name``, most alike first: of the provider and of those whose models it
    sells; for a provider the price book does not know, of all. For people to choose from: nothing is priced by it.
    """
    seller = canonical_provider(provider)
    written = spellings(name[:MAX_NAME], matcher.sellers(seller))
    if not written:
        return ()
    plain = written[-1].rpartition("/")[2] or written[-1]
    owners = [owner for owner in matcher.sellers(seller) if matcher.prices(owner)] or list(matcher.providers)
    found: dict[str, str] = {}
    for owner in owners:
        index = matcher.index(owner)
        if index is None:
            continue
        for known in index.names:
            found.setdefault(f"{owner}/{known}", known.rpartition("/")[2])
    if exact := [full for full, known in found.items() if known == plain]:
        return tuple(exact[:limit])
    words = set(plain.replace(":", "-").replace("@", "-").split("-")) - _TOO_COMMON
    alike = difflib.get_close_matches(plain, dict.fromkeys(found.values()), n=limit * 4)
    alike.sort(key=lambda known: -len(words & set(known.split("-"))))
    return tuple(next(full for full, known in found.items() if known == match) for match in alike[:limit])
