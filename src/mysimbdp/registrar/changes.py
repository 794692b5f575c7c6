"""One thing that the registrar changed."""

from __future__ import annotations

import attrs

#: Stands in the place of the tenant when something of the platform itself was changed.
PLATFORM = "-"


@attrs.frozen
class Change:
    """What was changed, for whom; a reconciliation that finds all in order has none."""

    tenant: str
    change: str
