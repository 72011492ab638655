package telemetry

import (
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/measure"
	"github.com/roxyhub/roxy/limit"
)

// metrics is the list of all that is ours on /metrics, in the order of docs/metrics.md. A new one is a line here, a
// line there and a line in testdata/metrics.golden: a test fails until the three agree.
func metrics() []metric {
	transports := []string{"sse", "ws", "canary"}
	ends := []string{
		string(hub.Drain), string(hub.TokenExpired), string(hub.Revoked), string(hub.Slow), string(hub.Replaced), "client", "closed", "corrupt",
	}
	refusals := []string{string(roxy.Overloaded), string(roxy.KeyReused), string(roxy.VersionConflict), string(roxy.RateLimited)}
	confirmations := []string{string(roxy.AckConfirmed), string(roxy.AckRepeated), string(roxy.AckLate), string(roxy.AckUnknown)}
	settlements := []string{
		string(roxy.Acknowledged), string(roxy.UnackedAttempts), string(roxy.UnackedTTL), string(roxy.UnackedNoAudience), string(roxy.UnackedRetention),
	}
	limits := []string{
		limit.Attempts, limit.ConnectionsPerIP, limit.ConnectionsPerUser, limit.ConnectionsPerTenant, limit.PublishPerUser,
		limit.PublishPerTenant, limit.AcksPerUser, limit.Descriptors, limit.Memory,
	}
	return []metric{
		gauges("roxy_connections", "Live streams.", "transport", transports, func(s *stats) map[string]int64 { return s.hub.Connections }),
		counters("roxy_streams_ended_total", "Streams that ended, by why.", "reason", ends, func(s *stats) map[string]uint64 { return s.hub.Ended }),
		counters("roxy_streams_reset_total", "Streams that were told roxy:reset, by why.", "reason", []string{"epoch", "retention", "overflow"}, func(s *stats) map[string]uint64 { return s.hub.Resets }),
		counter("roxy_streams_lagged_total", "Times that a stream fell out of its class's queue and went on from the log.", func(s *stats) uint64 { return s.hub.Lagged }),
		histogram("roxy_replay_depth_events", "Events that a stream was given before it was live.", func(s *stats) measure.Snapshot { return s.hub.ReplayDepth }),
		counter("roxy_published_events_total", "Events that were published and committed; repeated keys and ephemeral events are not.", func(s *stats) uint64 { return s.hub.EventsIn }),
		counter("roxy_committed_mutations_total", "Mutations of entities that were committed; repeated ids are not.", func(s *stats) uint64 { return s.hub.Mutations }),
		counter("roxy_published_bytes_total", "Bytes of the events and mutations that were handed to the engine, repeated ones included.", func(s *stats) uint64 { return s.hub.BytesIn }),
		counter("roxy_duplicate_events_total", "Events and mutations that repeated an idempotency key and were not committed again.", func(s *stats) uint64 { return s.hub.Duplicates }),
		counter("roxy_ephemeral_events_total", "Ephemeral events that were dispatched.", func(s *stats) uint64 { return s.hub.Ephemeral }),
		counters("roxy_publishes_refused_total", "Publishes and mutations that the engine refused, by problem code.", "code", refusals, func(s *stats) map[string]uint64 { return s.hub.Refused }),
		counter("roxy_delivered_events_total", "Events written to streams, replayed ones and the entities of snapshots included.", func(s *stats) uint64 { return s.hub.EventsOut }),
		counter("roxy_delivered_bytes_total", "Bytes written to streams.", func(s *stats) uint64 { return s.hub.BytesOut }),
		counter("roxy_replay_delays_total", "Times that a replay waited until limits.replay let it go on.", func(s *stats) uint64 { return s.hub.ReplaysDelayed }),
		counter("roxy_replay_refusals_total", "Streams refused because too many caught up at the same time (limits.replay).", func(s *stats) uint64 { return s.hub.ReplaysRefused }),
		counter("roxy_replay_reads_total", "Stretches of a log that were read for replays.", func(s *stats) uint64 { return s.hub.ChunksRead }),
		counter("roxy_replay_shares_total", "Stretches of a log that a replay got without reading, because another had just read them.", func(s *stats) uint64 { return s.hub.ChunksShared }),
		counter("roxy_replay_spelled_total", "Stretches of a log that a replay spelled for its stream alone.", func(s *stats) uint64 { return s.hub.SpelledAlone }),
		counter("roxy_replay_spelled_shares_total", "Stretches of a log that a replay got as they were spelled for its class.", func(s *stats) uint64 { return s.hub.SpelledShared }),
		gauge("roxy_replay_text_bytes", "Bytes of what is spelled for classes that catch up, 16 MiB at most.", func(s *stats) int64 { return s.hub.Transcripts }),
		counter("roxy_replayed_events_total", "Events written to streams out of the log, before they were live or after they lagged.", func(s *stats) uint64 { return s.hub.EventsReplayed }),
		counter("roxy_snapshot_entities_total", "Entities written to streams in snapshots.", func(s *stats) uint64 { return s.hub.EntitiesOut }),
		counter("roxy_snapshot_reads_total", "Runs of entities that were read for snapshots.", func(s *stats) uint64 { return s.hub.SheetsRead }),
		counter("roxy_snapshot_shares_total", "Runs of entities that a snapshot got without reading, because another had just read them.", func(s *stats) uint64 { return s.hub.SheetsShared }),
		histogram("roxy_commit_duration_seconds", "From handing events or mutations to the engine until they were durable.", func(s *stats) measure.Snapshot { return s.hub.CommitLatency }),
		histogram("roxy_delivery_duration_seconds", "From the engine's time stamp of an event to the end of the live write that carries it.", func(s *stats) measure.Snapshot { return s.hub.DeliveryLatency }),
		gauge("roxy_present_users", "Users who are present, those within the grace included.", func(s *stats) int64 { return s.hub.PresentUsers }),
		gauge("roxy_present_devices", "Devices of theirs; the streams of a user that name none count as one.", func(s *stats) int64 { return s.hub.PresentDevices }),
		counter("roxy_presence_joined_total", "Times that a device became present.", func(s *stats) uint64 { return s.hub.Joined }),
		counter("roxy_presence_left_total", "Times that a device was present no more, its grace being over.", func(s *stats) uint64 { return s.hub.Left }),
		counter("roxy_audit_lost_rows_total", "Audit rows that were not noted: too many waited, or the store did not take them. A gap row tells their number.", func(s *stats) uint64 { return s.hub.Unnoted }),
		gauge("roxy_devices_connected", "Devices with a live stream.", func(s *stats) int64 { return s.hub.Devices }),
		gauge("roxy_open_acks", "Critical events that are neither acknowledged nor given up.", func(s *stats) int64 { return s.hub.OpenAcks }),
		counters("roxy_confirmations_total", "Confirmations of critical events, by what they did.", "status", confirmations, func(s *stats) map[string]uint64 { return s.hub.Acks }),
		counters("roxy_settlements_total", "Critical events that were acknowledged or given up, by how they ended.", "end", settlements, func(s *stats) map[string]uint64 { return s.hub.Settled }),
		counter("roxy_redeliveries_total", "Critical events that were given to a connected device again.", func(s *stats) uint64 { return s.hub.Redeliveries }),
		histogram("roxy_settlement_duration_seconds", "From the commit of a critical event until it was acknowledged or given up.", func(s *stats) measure.Snapshot { return s.hub.AckLatency }),
		gauge("roxy_tenants", "Tenants with live streams.", func(s *stats) int64 { return s.hub.Tenants }),
		gauge("roxy_classes", "Classes: sets of streams that are sent the same bytes.", func(s *stats) int64 { return s.hub.Classes }),
		gauge("roxy_class_queue_bytes", "Bytes that classes keep for their slowest streams.", func(s *stats) int64 { return s.hub.Queued }),

		counter("roxy_disk_commits_total", "Commits that were answered without an error.", func(s *stats) uint64 { return s.disk.Commits }),
		counters("roxy_disk_refusals_total", "Commits that were not made, by why.", "reason", []string{"full", "overloaded", "key-reused", "canceled", "other"}, diskRefusals),
		counter("roxy_disk_events_total", "Events appended to logs, the hub's own included.", func(s *stats) uint64 { return s.disk.Events }),
		counter("roxy_disk_written_bytes_total", "Bytes of records appended to logs, before compression.", func(s *stats) uint64 { return s.disk.Bytes }),
		histogram("roxy_disk_sync_duration_seconds", "Writing a group of commits and syncing it to the disk.", func(s *stats) measure.Snapshot { return s.disk.Sync }),
		histogram("roxy_disk_sync_commits", "Commits that shared one sync.", func(s *stats) measure.Snapshot { return s.disk.GroupCalls }),
		gauge("roxy_disk_queued_commits", "Commits that wait for the committer.", func(s *stats) int64 { return int64(s.disk.Queue) }),
		unsigned("roxy_disk_tail_lag_bytes", "Bytes that the slowest reader of the logs' heads is behind.", func(s *stats) uint64 { return s.disk.TailLag }),
		counter("roxy_disk_read_events_total", "Events read back from logs.", func(s *stats) uint64 { return s.disk.Records }),
		counter("roxy_disk_trims_total", "Range deletes by retention.", func(s *stats) uint64 { return s.disk.Trims }),
		counter("roxy_disk_trimmed_events_total", "Events deleted by retention.", func(s *stats) uint64 { return s.disk.Trimmed }),
		counter("roxy_disk_audit_rows_total", "Audit rows that were written.", func(s *stats) uint64 { return s.disk.Audited }),
		counter("roxy_disk_audit_bytes_total", "Bytes of audit rows that were written, before compression.", func(s *stats) uint64 { return s.disk.AuditBytes }),
		counter("roxy_disk_audit_forgotten_rows_total", "Audit rows deleted by retention.", func(s *stats) uint64 { return s.disk.AuditForgotten }),
		gauge("roxy_disk_tenants", "Tenants that the engine has met since the start.", func(s *stats) int64 { return int64(s.disk.Tenants) }),
		unsigned("roxy_disk_free_bytes", "Bytes free where the data folder lies; 0 also when the file system does not say.", func(s *stats) uint64 { return s.disk.FreeBytes }),
		gauge("roxy_disk_failed", "1 when the store cannot be written any more until a restart, else 0.", diskFailed),

		counters("roxy_limit_refusals_total", "Requests that a limit refused.", "limit", limits, func(s *stats) map[string]uint64 { return s.limits.Refused }),
		gauge("roxy_limit_connections", "Connections that limits count.", func(s *stats) int64 { return int64(s.limits.Connections) }),
		gauge("roxy_limit_addresses", "Addresses with a connection.", func(s *stats) int64 { return int64(s.limits.IPs) }),
		gauge("roxy_limit_users", "Users with a connection.", func(s *stats) int64 { return int64(s.limits.Users) }),
		gauge("roxy_limit_tenants", "Tenants with a connection.", func(s *stats) int64 { return int64(s.limits.Tenants) }),
		gauge("roxy_limit_buckets", "Addresses, users and tenants whose rate is remembered.", func(s *stats) int64 { return int64(s.limits.Buckets) }),
		counter("roxy_limit_forgotten_buckets_total", "Rates forgotten early because too many were remembered.", func(s *stats) uint64 { return s.limits.Forgotten }),

		gauge("roxy_sockets", "Sockets of clients, parked ones included.", func(s *stats) int64 { return int64(s.gate.Open()) }),
		gauge("roxy_sockets_max", "Sockets that clients may have: what the system's limit on open files leaves for them.", func(s *stats) int64 { return int64(s.gate.Max()) }),
		counter("roxy_accept_failures_total", "Times that the system had no socket for a client that was there.", func(s *stats) uint64 { return s.gate.Failures() }),
		unsigned("roxy_memory_bytes", "Memory in use, garbage left out, as the limit counts it.", func(s *stats) uint64 { return s.limits.MemoryUsed }),
		unsigned("roxy_memory_max_bytes", "Memory beyond which new streams and publishes are refused; 0 without a limit.", func(s *stats) uint64 { return s.limits.MemoryBound }),

		counter("roxy_auth_accepted_total", "Tokens and tickets that were good.", func(s *stats) uint64 { return s.auth.Accepted }),
		counter("roxy_auth_refused_total", "Tokens and tickets that were not good, and requests without one.", func(s *stats) uint64 { return s.auth.Refused }),
		counter("roxy_auth_cached_total", "Tokens accepted without verifying their signature again.", func(s *stats) uint64 { return s.auth.Cached }),
		gauge("roxy_auth_tickets", "Tickets issued and not used yet.", func(s *stats) int64 { return int64(s.auth.Tickets) }),
		counter("roxy_auth_key_fetches_total", "Fetches of signing keys, failed ones included.", func(s *stats) uint64 { return s.auth.KeyFetches }),
		counter("roxy_auth_key_fetch_failures_total", "Fetches of signing keys that failed.", func(s *stats) uint64 { return s.auth.KeyFetchFails }),

		counter("roxy_webhook_delivered_total", "Dead letters that the webhook took.", func(s *stats) uint64 { return s.hook.Delivered }),
		counter("roxy_webhook_failures_total", "Attempts to deliver a dead letter that failed.", func(s *stats) uint64 { return s.hook.Failures }),
		counter("roxy_webhook_lost_total", "Dead letters that retention deleted before the webhook took them, and gaps in which some may have been.", func(s *stats) uint64 { return s.hook.Lost }),
		gauge("roxy_webhook_waiting", "Dead letters that the webhook has not taken yet.", func(s *stats) int64 { return s.hook.Waiting }),
		gauge("roxy_webhook_lag_seconds", "How old the oldest dead letter is that the webhook has not taken yet.", func(s *stats) int64 { return int64(s.hook.Lag / time.Second) }),
	}
}

func diskRefusals(s *stats) map[string]uint64 {
	r := s.disk.Refusals
	return map[string]uint64{
		"full": r.Full, "overloaded": r.Overloaded, "key-reused": r.KeyReused, "canceled": r.Canceled, "other": r.Other,
	}
}

func diskFailed(s *stats) int64 {
	if s.disk.Failed {
		return 1
	}
	return 0
}
