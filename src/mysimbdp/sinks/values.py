"""Encode Python values as BSON, strictly: whatever a document cannot hold is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import bson
import numpy as np
import pandas as pd
from bson.codec_options import CodecOptions, TypeRegistry
from bson.decimal128 import Decimal128, create_decimal128_context

from mysimbdp import errors

NO_ID = bson.ObjectId(bytes(12))
MAX_LEVELS = 100

_DECIMAL_CONTEXT = create_decimal128_context()
