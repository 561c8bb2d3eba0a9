"""Every bound of a node, in one place, each with its reason."""

from __future__ import annotations

# --- requests --------------------------------------------------------------------------------------------------------
MAX_REQUEST_BYTES = 1_572_864  # etcd's --max-request-bytes: the largest command that may enter the log.
GRPC_OVERHEAD_BYTES = 512 * 1024  # etcd adds this for the frame; 2 MiB in all is what a client may send.
MAX_TXN_OPS = 128  # etcd's --max-txn-ops.
MAX_LEASE_TTL_S = 9_000_000_000  # etcd's bound on a TTL, in seconds.
MAX_CONCURRENT_STREAMS = 2**31 - 1  # h2's default of 100 starves watch-heavy clients.
MAX_PENDING_REQUESTS = 50_000  # Waiting writes and reads a node holds before it answers "too many requests".
MAX_APPLY_LAG = 5_000  # commit - applied above this refuses proposals, as etcd does.

# --- raft ------------------------------------------------------------------------------------------------------------
SNAPSHOT_COUNT = 10_000  # Applied entries between two raft snapshots (etcd's --snapshot-count, 3.6).
SNAPSHOT_CATCHUP_ENTRIES = 5_000  # Entries kept behind a snapshot so that a slow follower needs none.
MAX_UNCOMMITTED_BYTES = 64 * 1024 * 1024  # A leader without a quorum must not fill the memory.
PEER_QUEUE_MESSAGES = 4_096  # Frames waiting for one peer; more are dropped and reported unreachable.
PEER_QUEUE_BYTES = 32 * 1024 * 1024

# --- watches ---------------------------------------------------------------------------------------------------------
WINDOW_EVENTS = 20_000  # Recent events kept in memory for watches that lag a little and for reads at old revisions.
WINDOW_BYTES = 64 * 1024 * 1024
WINDOW_HARD_EVENTS = 400_000  # With the history stuck the window may grow to this; then proposals are refused.
WATCH_STREAM_BUFFER_BYTES = 4 * 1024 * 1024  # Undelivered bytes a stream holds before its watchers fall back to catching up.
WATCH_CATCHUP_REVISIONS = 1_000  # Revisions in one catch-up response, as etcd's.
WATCH_FRAGMENT_BYTES = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES
MAX_WATCHERS_PER_STREAM = 100_000

# --- leases ----------------------------------------------------------------------------------------------------------
LEASE_REVOKES_PER_SCAN = 500  # At most this many expiries proposed every 500 ms, as etcd.
LEASE_SCAN_MS = 500

# --- inspection ------------------------------------------------------------------------------------------------------
INSPECT_INTERVAL_MS_MIN = 100
INSPECT_LOG_TAIL_MAX = 256
FAULT_DURATION_MS_MAX = 600_000
