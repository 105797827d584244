//! `mntr`: every name that Java's has (client protocol §5.7). What cannot happen in this server is 0, as it would be in
//! a Java server where it did not happen.

use std::fmt::{Display, Write};

use zoetrope_core::{Histogram, Status, Summary};
use zoetrope_io_tokio::View;

use super::{Startup, Traffic, decimal, machine};
use crate::settings::WordSettings;
use crate::version;

pub(super) fn mntr(
    status: &Status,
    view: &View<'_>,
    settings: &WordSettings,
    startup: Startup,
    traffic: Traffic,
) -> String {
    let mut page = Page::default();
    page.line("version", version::with_date(settings.date_format));
    page.line("server_state", status.phase.name());
    if let Some(leader) = &status.leader {
        page.line("leader_uptime", view.figures.uptime.as_millis());
        page.line("learners", leader.learners);
        page.line("synced_followers", leader.synced_followers);
        page.line("synced_observers", leader.synced_observers);
        page.line("synced_non_voting_followers", leader.synced_non_voting);
        page.line("pending_syncs", 0);
        page.line("proposals_pending", leader.pending);
    }
    if let Some(observers) = status.synced_observers {
        page.line("synced_observers", observers);
    }
    if let Some(master) = status.observer_master {
        page.line("observer_master_id", master);
    }
    gauges(&mut page, status, view, traffic);
    counters(&mut page, status, view);
    summaries(&mut page, status, view, startup);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "zk_{name}\t{value}");
    }

    fn summary(&mut self, name: &str, summary: &Summary) {
        let Summary { min, max, sum, count } = summary;
        self.line(&format!("avg_{name}"), decimal(summary.mean()));
        self.line(&format!("min_{name}"), min);
        self.line(&format!("max_{name}"), max);
        self.line(&format!("cnt_{name}"), count);
        self.line(&format!("sum_{name}"), sum);
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        self.summary(name, &histogram.summary);
        for (label, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            self.line(&format!("{label}_{name}"), histogram.percentile(share));
        }
    }

    fn percentiles(&mut self, name: &str) {
        for share in ["p50", "p95", "p99", "p999"] {
            self.line(&format!("{share}_{name}"), 0);
        }
    }
}

fn gauges(page: &mut Page, status: &Status, view: &View<'_>, traffic: Traffic) {
    let (open, max) = machine::file_descriptors();
    let (last_size, sizes) = &status.reply_size;
    // Java's "none yet".
    let size = |bytes: u64| if sizes.count == 0 { -1 } else { bytes as i64 };
    page.line("avg_latency", decimal(status.latency_ms.mean()));
    page.line("max_latency", status.latency_ms.max);
    page.line("min_latency", status.latency_ms.min);
    page.line("packets_received", status.packets_received + traffic.asked);
    page.line("packets_sent", status.packets_sent + traffic.answered);
    page.line("num_alive_connections", view.figures.open);
    page.line("outstanding_requests", status.outstanding);
    page.line("uptime", view.figures.uptime.as_millis());
    page.line("znode_count", status.znode_count);
    page.line("watch_count", status.watch_count);
    page.line("ephemerals_count", status.ephemerals_count);
    page.line("approximate_data_size", status.approximate_data_size);
    page.line("global_sessions", status.sessions);
    page.line("local_sessions", status.local_sessions);
    page.line("open_file_descriptor_count", open);
    page.line("max_file_descriptor_count", max);
    page.line("connection_drop_probability", decimal(0.0));
    page.line("last_client_response_size", size(*last_size));
    page.line("max_client_response_size", size(sizes.max));
    page.line("min_client_response_size", size(sizes.min));
    page.line("outstanding_tls_handshake", 0);
    page.line("auth_failed_count", status.auth_failed_count);
    page.line("non_mtls_remote_conn_count", 0);
    page.line("non_mtls_local_conn_count", 0);
    // Ours: writes are refused because the disk is full.
    page.line("zoetrope_disk_full", u8::from(status.no_room));
}

fn counters(page: &mut Page, status: &Status, view: &View<'_>) {
    page.line("snapshot_error_count", status.snapshot_error_count);
    page.line("commit_count", status.commit_count);
    page.line("connection_request_count", status.connection_request_count);
    page.line("connection_rejected", view.figures.rejected);
    page.line("bytes_received_count", status.bytes_received);
    page.line("connection_drop_count", status.connection_drop_count);
    page.line("connection_revalidate_count", status.connection_revalidate_count);
    page.line("sessionless_connections_expired", status.sessionless_connections_expired);
    page.line("stale_sessions_expired", status.stale_sessions_expired);
    page.line("throttled_ops", status.throttled_ops);
    page.line("large_requests_rejected", status.large_requests_rejected);
    page.line("digest_mismatches_count", status.digest_mismatches);
    page.line("response_bytes", status.reply_size.1.sum);
    for name in COUNTERS_OF_WHAT_IS_NOT_HERE {
        page.line(name, 0);
    }
}

fn summaries(page: &mut Page, status: &Status, view: &View<'_>, startup: Startup) {
    let [created, deleted, changed, children] = status.events;
    page.summary("fsynctime", &in_ms(&view.figures.fsync_us));
    page.summary("snapshottime", &status.snapshot_ms);
    page.summary("dbinittime", &once(startup.took_ms));
    page.summary("startup_txns_loaded", &once(startup.replayed));
    page.summary("node_created_watch_count", &one_by_one(created));
    page.summary("node_deleted_watch_count", &one_by_one(deleted));
    page.summary("node_changed_watch_count", &one_by_one(changed));
    page.summary("node_children_watch_count", &one_by_one(children));
    for name in SUMMARIES_OF_WHAT_IS_NOT_HERE {
        page.summary(name, &Summary::default());
    }
    // No percentiles of these two: they are not kept, and 0 would be a lie.
    page.histogram("readlatency", &status.read_latency_ms);
    page.histogram("updatelatency", &status.update_latency_ms);
    for name in PERCENTILES_OF_WHAT_IS_NOT_HERE {
        page.summary(name, &Summary::default());
        page.percentiles(name);
    }
}

fn in_ms(micros: &Summary) -> Summary {
    Summary {
        min: micros.min / 1000,
        max: micros.max / 1000,
        sum: micros.sum / 1000,
        count: micros.count,
    }
}

fn once(value: u64) -> Summary {
    Summary { min: value, max: value, sum: value, count: 1 }
}

/// Events are counted, not the changes that caused several of them.
fn one_by_one(count: u64) -> Summary {
    let one = u64::from(count > 0);
    Summary { min: one, max: one, sum: count, count }
}

const COUNTERS_OF_WHAT_IS_NOT_HERE: &[&str] = &[
    "snapshot_rate_limited_count",
    "restore_error_count",
    "restore_rate_limited_count",
    "looking_count",
    "diff_count",
    "snap_count",
    "unrecoverable_error_count",
    "add_dead_watcher_stall_time",
    "dead_watchers_queued",
    "dead_watchers_cleared",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "ensemble_auth_success",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "prep_processor_request_queued",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "revalidate_count",
    "request_commit_queued",
    "learner_proposal_received_count",
    "learner_commit_received_count",
    "sync_processor_request_queued",
    "proposal_count",
    "quit_leading_due_to_disloyal_voter",
    "stale_requests",
    "stale_requests_dropped",
    "stale_replies",
    "request_throttle_wait_count",
    "unsuccessful_handshake",
    "insecure_admin_count",
    "tls_handshake_exceeded",
    "cnxn_closed_without_zk_server_running",
    "skip_learner_request_to_next_processor_count",
    "requests_not_forwarded_to_commit_processor",
    "watch_bytes",
];

const SUMMARIES_OF_WHAT_IS_NOT_HERE: &[&str] = &[
    "restore_time",
    "follower_sync_time",
    "observer_sync_time",
    "election_time",
    "connection_token_deficit",
    "inflight_snap_count",
    "inflight_diff_count",
    "prep_processor_queue_size",
    "prep_process_time",
    "proposal_process_time",
    "unavailable_time",
    "leader_unavailable_time",
    "requests_in_session_queue",
    "pending_session_queue_size",
    "reads_after_write_in_session_queue",
    "reads_issued_from_session_queue",
    "session_queues_drained",
    "time_waiting_empty_pool_in_commit_processor_read_ms",
    "write_batch_time_in_commit_processor",
    "concurrent_request_processing_in_commit_processor",
    "read_commit_proc_req_queued",
    "write_commit_proc_req_queued",
    "commit_commit_proc_req_queued",
    "read_commit_proc_issued",
    "write_commit_proc_issued",
    "commit_process_time",
    "startup_txns_load_time",
    "startup_snap_load_time",
    "sync_processor_queue_size",
    "sync_process_time",
    "sync_processor_batch_size",
    "netty_queued_buffer_capacity",
    "learner_request_processor_queue_size",
    "socket_closing_time",
];

const PERCENTILES_OF_WHAT_IS_NOT_HERE: &[&str] = &[
    "propagation_latency",
    "dead_watchers_cleaner_latency",
    "prep_processor_queue_time_ms",
    "close_session_prep_time",
    "read_commitproc_time_ms",
    "write_commitproc_time_ms",
    "local_write_committed_time_ms",
    "server_write_committed_time_ms",
    "om_proposal_process_time_ms",
    "om_commit_process_time_ms",
    "read_final_proc_time_ms",
    "write_final_proc_time_ms",
    "proposal_latency",
    "proposal_ack_creation_latency",
    "commit_propagation_latency",
    "sync_processor_queue_and_flush_time_ms",
    "sync_processor_queue_time_ms",
    "sync_processor_queue_flush_time_ms",
    "quorum_ack_latency",
    "request_throttle_queue_time_ms",
    "jvm_pause_time_ms",
];
