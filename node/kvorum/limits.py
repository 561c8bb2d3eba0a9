"""Every bound of a node, in one place, each with its reason."""

from __future__ import annotations

# --- requests -------------------------------------------------------------------------------------
# etcd's --max-request-bytes: the largest command that may enter the log.
MAX_REQUEST_BYTES = 1_572_864
# etcd adds this for the frame; 2 MiB in all is what a client may send.
GRPC_OVERHEAD_BYTES = 512 * 1024
MAX_TXN_OPS = 128  # etcd's --max-txn-ops.
# Transactions within transactions: what 128 operations allow; more would only burn stack.
MAX_TXN_DEPTH = 128
# On all levels together: checks and apply of one transaction must not hold up the node.
MAX_TXN_TOTAL_OPS = 10_000
MAX_LEASE_TTL_S = 9_000_000_000  # etcd's bound on a TTL, in seconds.
# Streams of one connection. h2's default of 100 starves clients that open one for every watch;
# each is a task and some 15 KB, so that no connection holds more than 300 MB by this alone.
MAX_CONCURRENT_STREAMS = 20_000
# Waiting writes and reads a node holds before it answers "too many requests".
MAX_PENDING_REQUESTS = 50_000
# A question to the leader (ReadIndex, leases) that stays without an answer is asked again, as etcd.
READ_RETRY_MS = 500
MAX_APPLY_LAG = 5_000  # commit - applied above this refuses proposals, as etcd does.

# --- raft -----------------------------------------------------------------------------------------
# Applied entries between two raft snapshots (etcd's --snapshot-count, 3.6).
SNAPSHOT_COUNT = 10_000
# A snapshot is the whole state, so a large one waits until a quarter of its bytes has been applied,
# ... (a quarter of a million keys, written anew, is two seconds of a start)
SNAPSHOT_STATE_PART = 4
SNAPSHOT_SMALL_STATE_BYTES = 16 * 1024 * 1024  # ... unless it costs less than it is worth asking,
SNAPSHOT_COUNT_STRETCH = 10  # ... or so many times the entries have been applied,
# and comes before its time when such bytes of entries would have to be applied at a start.
SNAPSHOT_LOG_BYTES = 64 * 1024 * 1024
# Entries kept behind a snapshot so that a slow follower needs none.
SNAPSHOT_CATCHUP_ENTRIES = 5_000
# For a follower that is sent a snapshot, and for so long after it arrived (unless it has caught up,
# or has gone), the log keeps what follows it; but no more than so many entries besides.
SNAPSHOT_HELD_S = 5
SNAPSHOT_HELD_ENTRIES = 50_000
MAX_UNCOMMITTED_BYTES = 64 * 1024 * 1024  # A leader without a quorum must not fill the memory.
# Frames waiting for one peer; more are dropped and reported unreachable.
PEER_QUEUE_MESSAGES = 4_096
PEER_QUEUE_BYTES = 32 * 1024 * 1024

# --- watches --------------------------------------------------------------------------------------
# Recent events kept in memory for watches that lag a little and for reads at old revisions.
WINDOW_EVENTS = 20_000
WINDOW_BYTES = 64 * 1024 * 1024
# With the history stuck the window may grow to this; then proposals are refused, nothing more is
# applied and nothing more is taken from a leader, until the history gets on.
WINDOW_HARD_EVENTS = 400_000
WINDOW_HARD_BYTES = 256 * 1024 * 1024  # Some seconds of the largest requests on a fast disk.
# Undelivered bytes a stream holds before its watchers fall back to catching up.
WATCH_STREAM_BUFFER_BYTES = 4 * 1024 * 1024
WATCH_CATCHUP_REVISIONS = 1_000  # Revisions in one catch-up response, as etcd's.
# Bytes above which such a response is closed: a stream overshoots its buffer by one at most.
WATCH_CATCHUP_BYTES = WATCH_STREAM_BUFFER_BYTES
# Watchers that one stretch of revisions goes past at once (etcd: 512), ...
WATCH_CATCHUP_WATCHERS = 512
# ... and stretches in one turn: 5,000 revisions take 5 to 10 ms of the loop.
WATCH_CATCHUP_STRETCHES = 5
# Questions of watchers to the history at once: there are two readers, and answers are large.
WATCH_HISTORY_READS = 4
WATCH_HISTORY_RETRY_MS = 500  # After a read that failed, say by taking too long.
# Failures in a row after which the history counts as gone and the node ends: 10 s and the reads'
# own time.
WATCH_HISTORY_FAILURES = 20
# Ids of a stream's watchers that a compaction ended, remembered until the client cancels them.
WATCH_ENDED_IDS = 10_000
WATCH_FRAGMENT_BYTES = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES
MAX_WATCHERS_PER_STREAM = 100_000

# --- images of the state --------------------------------------------------------------------------
# Large enough to make framing cheap, small enough for one network message.
IMAGE_CHUNK_BYTES = 256 * 1024
# Above the largest record (a request's bytes and some); a reader refuses to hold more at once.
IMAGE_SECTION_BYTES_MAX = 64 * 1024 * 1024

# --- leases ---------------------------------------------------------------------------------------
LEASE_REVOKES_PER_SCAN = 500  # At most this many expiries proposed every 500 ms, as etcd.
LEASE_SCAN_MS = 500
# After a promotion ends are spread so that at most this many fall into one scan: a crowd of leases
# must not use up all that may be revoked (etcd: three quarters of it).
LEASE_ENDS_PER_SCAN = 375
LEASE_CHECKPOINT_MS = 300_000  # etcd's interval, and the TTL above which a lease has checkpoints.
LEASE_CHECKPOINT_BATCH = 1_000  # Leases in one such entry, as in etcd: 16 KB.
# Entries of them at one scan: a hundred thousand leases in 5 s, and a short turn of the loop.
LEASE_CHECKPOINT_BATCHES = 10
SERVICE_LEASE_TTL_S = 60  # What Lock and Election grant to whom brings no lease, as etcd.
# A place in a queue that is given up while there is no leader: it outlives elections by far.
TAKE_BACK_S = 60.0
# Remembered answers to "may this user write all keys on that lease"; more than leases in use at a
# time, and a few MB at most.
AUTH_LEASE_VERDICTS = 10_000

# --- users ----------------------------------------------------------------------------------------
# Threads that hash passwords, at the least: 50 ms of a core each time, on purpose. They take half
# of the cores and step back for everything else; see ``passwords``.
AUTH_HASH_THREADS = 1
AUTH_HASH_THREADS_MAX = 8
# Passwords waiting for such a thread; at the default cost one has waited 3 s then, and etcdctl
# waits 5. Who comes next is told "too many requests" instead of something late.
AUTH_HASHES_WAITING = 64
# What a hash that somebody brings may cost: 2 s of a core at every login. etcd's default is 10.
AUTH_GIVEN_COST_MAX = 15
# Tokens a member remembers; then the one that was unused for the longest goes, and its user logs in
# again. 30 MB at most.
AUTH_TOKENS = 100_000
AUTH_STALE_LOGINS = 100  # Users change while a password is compared: tries before giving up.

# --- inspection -----------------------------------------------------------------------------------
INSPECT_INTERVAL_MS_MIN = 100
INSPECT_LOG_TAIL_MAX = 256
# Rows and bytes of keys and values in one batch of a key's history: a message a client takes easily
# (a value of the largest kind more is possible), read in some milliseconds.
INSPECT_HISTORY_ROWS = 500
INSPECT_HISTORY_BYTES = 512 * 1024
FAULT_DURATION_MS_MAX = 600_000

# --- the local supervisor -------------------------------------------------------------------------
# A node that has not answered by then will not: recovery of a sample's data takes under a second.
NODE_READY_S = 60.0
# After SIGTERM a node may hand over leadership and close its files; then comes SIGKILL.
NODE_STOP_S = 10.0
NODE_SIGNAL_S = 2.0  # SIGSTOP and SIGCONT reach every thread of a process in microseconds.
NODE_KILL_WAIT_S = 10.0  # After SIGKILL the kernel only has to take the memory back.
# A node's log file is set aside at the start that finds it larger.
NODE_LOG_BYTES = 16 * 1024 * 1024
# Pauses before automatic restarts; the last one repeats.
NODE_RESTART_WAIT_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
NODE_RESTART_FORGIVE_S = 60.0  # A node that ran this long starts its pauses anew.
PROBE_TIMEOUT_S = 2.0  # One question to one node; a paused node must not hold up the others.
PROBE_STOP_S = 0.5  # Who leads, asked before a stop: worth knowing, not worth waiting for.
LOAD_CHUNK_OPS = 100  # Sample keys in one transaction: below MAX_TXN_OPS, which real etcd shares.
LOAD_CHANGE_OPS = 4  # Later changes to them: few at once, so that the samples have revisions.
LOAD_CHUNK_BYTES = 512 * 1024  # And their bytes, well below MAX_REQUEST_BYTES.
# A transaction of the loader is repeated over an election, which takes a second or two.
LOAD_TRIES = 20

# --- the scripting client -------------------------------------------------------------------------
# First and longest wait before an endpoint that failed is tried again; it doubles in between.
# etcd's own client starts at 25 ms too. The longest, with its jitter, is well below the 2 s that a
# terminal gives a read: without a quorum every member has failed, also the one that still answers
# for itself.
CLIENT_BACKOFF_MIN_S = 0.025
CLIENT_BACKOFF_MAX_S = 1.0
# HTTP/2 pings on connections with open calls: a paused or cut member is noticed after their sum.
# etcd refuses clients that ping more often than every 5 s.
CLIENT_PING_S = 10.0
CLIENT_PING_TIMEOUT_S = 5.0
# Unread bytes one connection may hold: a slow stream must not stop the calls beside it.
CLIENT_CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024
CLIENT_STREAM_WINDOW_BYTES = 4 * 1024 * 1024
# Events and bytes a watch holds for a slow reader before it leaves the stream and catches up later.
CLIENT_WATCH_BUFFER_EVENTS = 10_000
CLIENT_WATCH_BUFFER_BYTES = 16 * 1024 * 1024
# The largest message taken from a server: a range of everything, within reason.
CLIENT_MESSAGE_BYTES = 512 * 1024 * 1024
CLIENT_PAGE_KEYS = 1_000  # Keys asked for at once when a range is read by pages, ...
CLIENT_PAGE_BYTES = 1024 * 1024  # ... fewer when pages come out larger than this.
# Describing a request in an error must not repeat a megabyte of value.
CLIENT_DESCRIBE_BYTES = 64
# Tunnels (ssh, proxy commands). A login through several hosts takes its time; ...
TUNNEL_LOGIN_S = 40.0
TUNNEL_DIAL_S = 10.0  # ... and so does connecting behind it: the least a dial timeout is then.
# A login that failed is tried again after this long, doubling: sshd and its guards lock out those
# who knock without end.
TUNNEL_BACKOFF_MIN_S = 1.0
TUNNEL_BACKOFF_MAX_S = 30.0
TUNNEL_LINGER_S = 20  # A master that nobody uses any more ends by itself, also after a kill -9.
TUNNEL_STOP_S = 0.5  # A program whose input has ended should end too; then it is told to, twice.
TUNNEL_WORDS_S = 0.5  # Waited for the last words of a program that has hung up.
TUNNEL_SAID_LINES = 8  # Lines kept of its standard error.

# --- storage -------------------------------------------------------------------------------------
WAL_SEGMENT_BYTES = 64 * 1024 * 1024  # A log is cut in whole segments; etcd's size.
# A smaller one could be full of what it repeats of those before it.
WAL_SEGMENT_BYTES_MIN = 64 * 1024
WAL_AHEAD_BYTES = 1024 * 1024  # Zeros written ahead of the log's end: a third off every fdatasync.
WAL_RECORD_BYTES = 4 * 1024 * 1024  # Entry data in one record; a reader holds one record at a time.
SNAPSHOT_CHUNK_BYTES = 1024 * 1024  # Body bytes under one checksum, and in memory at a time.
SNAPSHOT_FILES_KEPT = 5  # The newest may prove broken; etcd keeps as many.
# A page of etcd's database with its overflow, in memory at once: etcd's requests are 1.5 MiB unless
# told otherwise, and bbolt puts at most four such values into one page.
BOLT_RUN_BYTES_MAX = 256 * 1024 * 1024
# Branches above a leaf of it; with two children each, 2^32 pages are beyond any file.
BOLT_DEPTH_MAX = 32

# --- the server ----------------------------------------------------------------------------------
# Above this a gathered write leaves at once: joining more costs copies.
WRITE_GATHER_BYTES = 64 * 1024
CLOSE_LINGER_S = 2.0  # Then a closed connection whose other side takes nothing is aborted.
SNIFF_TIMEOUT_S = 10.0  # A connection that sends no first bytes for this long is closed.
# The head of an HTTP/1.1 request: one packet, or some lines typed by hand into a pipe.
HTTP1_HEAD_S = 10.0
TLS_HANDSHAKE_TIMEOUT_S = 10.0  # A handshake takes milliseconds, or some round trips far away.
# Handshakes at once; each holds some 50 KB and a core for a millisecond. More are closed unheard.
TLS_HANDSHAKES = 1_024
TLS_READ_BYTES = 64 * 1024  # Plain bytes taken at a time; a record holds 16 KiB.
TLS_RESOLVE_TIMEOUT_S = 5.0  # Looking up the names in a peer's certificate.
# Refused connections told one by one in each window of the log; the rest is told as a number.
TLS_REFUSALS_TOLD = 10
TLS_REFUSALS_WINDOW_S = 10.0
# Ticks made up for after a stall: many elections' worth, and a short turn of the loop.
MAX_LATE_TICKS = 200
LATENCY_SAMPLES = 1_000  # Newest samples behind each latency figure.
# Room on the disk below which a node raises NOSPACE: what is under way then still fits, ...
DISK_RESERVE_BYTES = 8 * 1024 * 1024
# ... and below which the history is not written: DuckDB takes a full disk worse than the log.
HISTORY_RESERVE_BYTES = 4 * 1024 * 1024
DISK_FULL_RETRY_S = 0.25  # Between two tries of a write that finds no room.
DISK_BATCH_OPERATIONS = 4_096  # Writes of the log that share one fsync.
PEER_FRAME_MESSAGES = 512  # Raft messages in one frame between members, ...
PEER_FRAME_BYTES = 1024 * 1024  # ... and bytes, above which a frame is closed.
PEER_MESSAGE_BYTES = 64 * 1024 * 1024  # Largest frame a member takes from another.
# First wait before a lost peer is dialled again; it doubles, with jitter, ...
PEER_BACKOFF_MIN_S = 0.05
PEER_BACKOFF_MAX_S = 2.0  # ... up to this: a returning member waits no longer than two elections.
PEER_DIAL_TIMEOUT_S = 5.0  # etcd's dial timeout: 1 s + election timeout, rounded up.
# How long a first start asks the others whether this member ran before; absent ones do not answer.
START_ASK_S = 1.0
HASH_ASK_S = 7.0  # A peer's hash at an old revision comes from its history; etcd's request timeout.
JOIN_ASK_S = 5.0  # A joiner cannot begin without an answer, so it waits as long as for a dial.
# Links to members that the table does not know (yet): a cluster grows by one at a time.
PEER_STRANGERS_MAX = 4
PEER_REFUSAL_LOG_S = 30.0  # The same refusal of a peer is logged again after this.
PEER_REFUSALS_REMEMBERED = 64  # Different ones; more are those of a port scanner.
# A removed member goes on answering for so many election timeouts, so that all can hear it, and
# until a quorum of the others is known to know.
REMOVED_LINGER_ELECTIONS = 3
# Where they cannot be reached it ends all the same, and hears them when it is started again.
REMOVED_LINGER_MAX_ELECTIONS = 60
# One that was only told takes the word of one after so many: whom it knows may be long gone.
REMOVED_TOLD_MAX_ELECTIONS = 6
# A peer must have been connected for this long to count as healthy in a change of members (etcd).
RECONFIG_HEALTH_S = 5.0
# A peer's stream that carried nothing for this long is dead: heartbeats come every tick.
PEER_PING_S = 1.0
# A peer's connection that answers no ping for this long is dead (etcd's read timeout).
PEER_SILENCE_S = 5.0
SNAPSHOT_SEND_ROWS = 1_000  # History rows in one such message.
# A transfer that takes longer is given up and reported as failed.
SNAPSHOT_TRANSFER_TIMEOUT_S = 600.0
# A snapshot for a client: rows read from the history at a time, and their keys and values.
SNAPSHOT_PAGE_ROWS = 5_000
SNAPSHOT_PAGE_BYTES = 4 * 1024 * 1024
SNAPSHOT_BATCH_BLOBS = 8  # Blobs of 32 KiB handed from the thread to the loop at once ...
SNAPSHOT_BATCHES_WAITING = 4  # ... and such batches waiting for a slow client: 1 MiB.
# A client that takes nothing for so long loses its snapshot: it keeps others waiting, and what a
# compaction removes on the disk.
SNAPSHOT_STALL_S = 60.0
SNAPSHOT_STREAM_TIMEOUT_S = 3_600.0  # ... and one that is not done by then, however it takes.
# Compactions that may overtake a snapshot's beginning before it is given up: each leaves it some
# milliseconds, so that more of them in a row is no coincidence.
SNAPSHOT_CUTS_MAX = 10
HISTORY_READERS = 2
SHUTDOWN_GRACE_S = 3.0  # Calls under way at a stop get this long.
# A starting node publishes its name again when it got no answer for so long, then twice as long, up
# to two election timeouts; and so long after a refusal.
PUBLISH_RETRY_S = 0.5
FAULTS_MAX = 1_000  # Faults in force at once.
FAILPOINT_MS_MAX = 60_000  # What a failpoint holds up at a time; longer is what a crash is for.
# A pause starts this much later, so that the answer to who asked for it leaves.
PAUSE_BEGINS_S = 0.02

# --- HTTP/2 --------------------------------------------------------------------------------------
# Frames that do no work (PING, SETTINGS, WINDOW_UPDATE, RST_STREAM, PRIORITY, empty DATA, unknown
# ones): so many at once, which is a tenth of a second of the loop, ...
HTTP2_IDLE_FRAMES = 5_000
HTTP2_IDLE_FRAMES_PER_S = 500  # ... so many a second on a connection that does nothing else, ...
HTTP2_FRAME_CREDIT = 8  # ... and so many for each frame this side sends: clients answer data so.
# Calls that a client takes back before anything was answered: a leaderless minute of a busy client,
# and then the rate at which starting calls in vain costs a few per cent of a core.
HTTP2_RESETS = 5_000
HTTP2_RESETS_PER_S = 200
# Answers to frames (acknowledgements, resets) that wait behind a socket whose other side takes
# nothing: thousands of frames, of which a live client has a handful.
HTTP2_BACKLOG_BYTES = 64 * 1024
# A block of headers, packed or not: tokens of 8 KiB and a lot of metadata fit; it takes 20 ms to
# unpack. Real etcd takes 16 MiB, which nobody needs.
HTTP2_HEADER_LIST_BYTES = 256 * 1024
# Pieces of such a block: 16 full frames hold it.
HTTP2_CONTINUATIONS = 64
HTTP2_HEADER_TABLE_BYTES = 4_096  # HTTP/2's default; the few headers that are sent fit.
# Blocks of headers that are remembered whole, a connection and direction: as many as there are
# kinds of calls to make in a busy minute, and no longer ones than calls have without a token.
HTTP2_CACHED_BLOCKS = 32
HTTP2_CACHED_BLOCK_BYTES = 512
HTTP2_CACHED_HEAD_BYTES = 2_048  # ... and of what they mean: 64 KB a connection.
# Ended streams remembered for frames under way to them: more than a mass of cancelled watches.
HTTP2_CLOSED_STREAMS = 10_000
HTTP2_OUTBOUND_FRAME_BYTES = 64 * 1024
# Answers that wait for a connection's window: above these bytes in more than so many calls, new
# calls are refused. One large range that is read slowly stands in nobody's way.
HTTP2_HELD_BYTES = 64 * 1024 * 1024
HTTP2_HELD_CALLS = 8

# --- the JSON gateway ----------------------------------------------------------------------------
# A body's bound is this times a message's: base64 takes a third more, names and brackets the rest.
GATEWAY_BODY_FACTOR = 2
# The body of a call with one request: 4 MiB over a line of 70 KB/s. Streams may rest in between.
GATEWAY_BODY_S = 60.0
# Messages up to this become JSON, and back, on the loop, in milliseconds; larger ones in a thread.
GATEWAY_INLINE_BYTES = 64 * 1024
# Different values of one metric's label that clients choose; the rest share one.
METRICS_LABEL_VALUES = 64
METRICS_LABEL_CHARACTERS = 64  # A longer one is no version; a scrape would be as long as they are.
# A configuration file has some hundred lines; what is larger was named by mistake.
CONFIG_FILE_BYTES = 1024 * 1024

# --- history -------------------------------------------------------------------------------------
HISTORY_BATCH_ROWS = 5_000  # Rows in one transaction: 10 ms; 1,000 reach half the rows per second.
# How long a first row waits for company: one commit costs 3 ms, however small.
HISTORY_GATHER_S = 0.05
# Rows waiting for the writer; above it nothing more is taken. More than the window's hard bound, so
# that the replica refuses proposals first.
HISTORY_QUEUE_ROWS = 500_000
HISTORY_CHECKPOINT_BYTES = 16 * 1024 * 1024  # DuckDB's log is folded into the file beyond this.
HISTORY_MEMORY_MB = 512  # DuckDB's buffers in a node; the rest of the file stays on disk.
HISTORY_READS_PENDING = 256  # Reads waiting for a reader thread before new ones are refused.
HISTORY_READ_TIMEOUT_S = 30.0  # A read of history that takes longer is interrupted.
HISTORY_EVENTS_BYTES = 16 * 1024 * 1024  # Keys and values in one answer to a watcher behind.
HISTORY_EXPORT_ROWS = 5_000  # Rows read at a time by whoever reads all of a history, ...
HISTORY_EXPORT_BYTES = 4 * 1024 * 1024  # ... and about how many bytes of keys and values.
# Long reads at once: snapshots for two peers, one for a client, a defragmentation.
HISTORY_EXPORTS = 4
# Rows that a compaction must have removed for the file to give their room back at once (3-50 ms of
# the writer's time); fewer wait for the next checkpoint.
HISTORY_SWEEP_CHECKPOINT_ROWS = 1_000
# Keys and values copied in one transaction while a history is defragmented, held in memory twice.
# DuckDB reads 2,048 rows for any one of them, so that smaller stretches of large values cost more.
HISTORY_COPY_BYTES = 32 * 1024 * 1024
HISTORY_COPY_REVISIONS = 500  # Revisions in the first such stretch.
# A defragmentation changes files when it is this close; the rest takes some milliseconds, ...
DEFRAGMENT_NEAR_REVISIONS = 1_000
DEFRAGMENT_ROUNDS = 20  # ... or after so many rounds: writes then come faster than it can copy.
# How long a defragmentation waits for snapshots under way before it ends them, and for ordinary
# reads of history.
DEFRAGMENT_PATIENCE_S = 60.0
DEFRAGMENT_READS_S = 5.0
HISTORY_PROBE_TIMEOUT_S = 120.0  # A file that cannot be read through in this time is set aside.
HISTORY_PROBE_DEEP_BYTES = 256 * 1024 * 1024  # Files up to this are read whole at a start (0.5 s).
QUERY_ROWS = 10_000  # Rows of an answer to a person's SQL.
QUERY_BYTES = 16 * 1024 * 1024  # ... and its size.
# Rows and size of an answer that goes out in batches as it is made, so that nobody holds it whole.
QUERY_ROWS_TOLD = 1_000_000
QUERY_BYTES_TOLD = 128 * 1024 * 1024
EXPORT_ROWS = 2_000  # Rows of an answer written to a file between two words on how far it is.
QUERY_LEASES = 100_000  # Leases told to a query; each is a line of the request to its process.
QUERY_LEASES_ASKED = 1_000  # ... of those that a real etcd is asked for one by one.
QUERY_TIMEOUT_S = 10.0
QUERY_MEMORY_MB = 256  # DuckDB's own bound in the query process, which it may overstep; therefore
QUERY_ADDRESS_SPACE_MB = 4_096  # the system's bound on the whole process.
QUERY_SQL_BYTES = 65_536
QUERIES_RUNNING = 2  # Query processes at once: each may keep a core busy.
HISTORY_MIRROR_BYTES = 4 * 1024**3  # A mirror's file: twice the quota that etcd has by default.
LIVING_MIRROR_BYTES = 1024**3  # A mirror that is kept; beyond it the older half is forgotten.
LIVING_MIRROR_AGE_S = 30 * 86_400  # What is known to be older is forgotten, too.
HISTORY_MIRROR_LOADS = 5  # Reading that compaction overtakes this often will not end by repetition.
QUERIES_WAITING = 8  # Behind them; more are refused at once.
QUERY_MESSAGE_BYTES = 256 * 1024  # Rows go out in messages of about this size.

# --- drills ---------------------------------------------------------------------------------------
DRILL_NODES_MAX = 9  # As in a cluster file.
DRILL_STEPS_MAX = 500  # After repetition: a step each 0.1 s for most of a minute.
DRILL_LENGTH_S_MAX = 3_600.0  # Longer runs are for load tests; a recording is held in memory.
DRILL_CLIENTS_MAX = 50
DRILL_RATE_MAX = 1_000.0  # Operations a second; more than three nodes of one machine can answer.
DRILL_JOURNAL_LINES = 10_000  # Recorded and not yet on disk: ten seconds of the highest rate.
