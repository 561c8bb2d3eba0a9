"""One kvorum and one real etcd, as processes, for each module."""

from __future__ import annotations

from api.gateway.conftest import etcd_url as etcd_url
from api.gateway.conftest import kvorum_url as kvorum_url
