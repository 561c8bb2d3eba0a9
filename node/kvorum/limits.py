"""Every bound of a node, in one place, each with its reason."""

from __future__ import annotations

# --- requests -------------------------------------------------------------------------------------
# etcd's --max-request-bytes: the largest command that may enter the log.
MAX_REQUEST_BYTES = 1_572_864
# etcd adds this for the frame; 2 MiB in all is what a client may send.
GRPC_OVERHEAD_BYTES = 512 * 1024
MAX_TXN_OPS = 128  # etcd's --max-txn-ops.
MAX_TXN_DEPTH = (
    128  # Transactions within transactions: what 128 operations allow; more would only burn stack.
)
MAX_LEASE_TTL_S = 9_000_000_000  # etcd's bound on a TTL, in seconds.
MAX_CONCURRENT_STREAMS = 2**31 - 1  # h2's default of 100 starves watch-heavy clients.
# Waiting writes and reads a node holds before it answers "too many requests".
MAX_PENDING_REQUESTS = 50_000
MAX_APPLY_LAG = 5_000  # commit - applied above this refuses proposals, as etcd does.

# --- raft -----------------------------------------------------------------------------------------
# Applied entries between two raft snapshots (etcd's --snapshot-count, 3.6).
SNAPSHOT_COUNT = 10_000
# Entries kept behind a snapshot so that a slow follower needs none.
SNAPSHOT_CATCHUP_ENTRIES = 5_000
MAX_UNCOMMITTED_BYTES = 64 * 1024 * 1024  # A leader without a quorum must not fill the memory.
# Frames waiting for one peer; more are dropped and reported unreachable.
PEER_QUEUE_MESSAGES = 4_096
PEER_QUEUE_BYTES = 32 * 1024 * 1024

# --- watches --------------------------------------------------------------------------------------
# Recent events kept in memory for watches that lag a little and for reads at old revisions.
WINDOW_EVENTS = 20_000
WINDOW_BYTES = 64 * 1024 * 1024
# With the history stuck the window may grow to this; then proposals are refused.
WINDOW_HARD_EVENTS = 400_000
# Undelivered bytes a stream holds before its watchers fall back to catching up.
WATCH_STREAM_BUFFER_BYTES = 4 * 1024 * 1024
WATCH_CATCHUP_REVISIONS = 1_000  # Revisions in one catch-up response, as etcd's.
WATCH_FRAGMENT_BYTES = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES
MAX_WATCHERS_PER_STREAM = 100_000

# --- leases ---------------------------------------------------------------------------------------
LEASE_REVOKES_PER_SCAN = 500  # At most this many expiries proposed every 500 ms, as etcd.
LEASE_SCAN_MS = 500

# --- inspection -----------------------------------------------------------------------------------
INSPECT_INTERVAL_MS_MIN = 100
INSPECT_LOG_TAIL_MAX = 256
FAULT_DURATION_MS_MAX = 600_000

# --- the local supervisor -------------------------------------------------------------------------
# A node that has not answered by then will not: recovery of a sample's data takes under a second.
NODE_READY_S = 60.0
# After SIGTERM a node may hand over leadership and close its files; then comes SIGKILL.
NODE_STOP_S = 10.0
NODE_KILL_WAIT_S = 10.0  # After SIGKILL the kernel only has to take the memory back.
# A node's log file is set aside at the start that finds it larger.
NODE_LOG_BYTES = 16 * 1024 * 1024
# Pauses before automatic restarts; the last one repeats.
NODE_RESTART_WAIT_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
NODE_RESTART_FORGIVE_S = 60.0  # A node that ran this long starts its pauses anew.
PROBE_TIMEOUT_S = 2.0  # One question to one node; a paused node must not hold up the others.
PROBE_STOP_S = 0.5  # Who leads, asked before a stop: worth knowing, not worth waiting for.
LOAD_CHUNK_OPS = 100  # Sample keys in one transaction: below MAX_TXN_OPS, which real etcd shares.
LOAD_CHUNK_BYTES = 512 * 1024  # And their bytes, well below MAX_REQUEST_BYTES.
# A transaction of the loader is repeated over an election, which takes a second or two.
LOAD_TRIES = 20
