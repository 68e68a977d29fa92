"""stunnel with quantum keys: two processes, and what passes through them."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from adapter_hosts import missing, wait_until
from adapter_rig import two_ends

from bench.played_keys import PlayedSite
from bench.sites import free_ports
from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.stunnel import Stunnel
from poliqi.base.errors import LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address
