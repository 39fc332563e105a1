// The lake behind ClickHouse's HTTP interface: one server, a cluster of them, or the engine of
// another process on a Unix socket (lake/host). Servers from 18.16 on.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/cluster/url.h"
#include "lake/lake.h"

namespace stillwatch::lake {

struct ClusterOptions {
  LakeUrl url;                                   // wait_seconds bounds how long a call waits in all
  const std::atomic<bool>* stop = nullptr;       // ends a waiting call; outlives the lake
  std::function<void(const std::string&)> note;  // said when a call begins to wait; any thread
  int insert_seconds = 60;                       // of one attempt to store a part of a block
  int silent_seconds = 60;  // a server that says nothing for so long is taken for gone
  int settle_ms = 2000;     // between the two looks that find a part of unknown fate not stored
};

// Parts of blocks that were not stored when their Insert failed, remembered so that the same block,
// inserted again, stores what is missing and no more. The oldest are forgotten.
inline constexpr size_t kUnsettledMax = 4096;

// Bounds of one statement on a server, and of the answer's part that is not decoded yet.
inline constexpr uint64_t kServerMemoryBytes = uint64_t{2} << 30;
inline constexpr uint64_t kServerQueryBytes = uint64_t{64} << 20;
inline constexpr size_t kUndecodedBytesMax = size_t{1} << 30;
inline constexpr int kDeleteSecondsMax = 3600;

// Finds the servers; Migrate() comes next and makes databases and tables where there are none.
//
// A cluster: `url.cluster` is looked up in the servers' own `remote_servers`. The URL's hosts say
// which shard each is; a shard that none of them is, is expected at its configured host and at the
// first host's HTTP port. Each shard holds its rows in database NAME_local; database NAME on each
// has Distributed tables over all of them, through which everything is read. Rows go to a shard by
// the hash of their account; blocks without accounts to the first.
//
// Writing: each part of a block is one INSERT of one Native block, with a deadline. Its rows carry
// a number in column `insert_id` (added to every table here); when the answer does not come, the
// part is sent again only once the server says that no such query runs and no such row is there.
// A server that cannot be reached is waited for.
//
// Reading: the answer is taken when it is whole. It is asked for again while nothing of it was
// handed out; after that it is BrokenOff (lake/lake.h), and whoever asked may begin anew.
//
//   InvalidArgument: the servers know no such cluster, or a shard has replicas (the tables here
//     are not replicated). PermissionDenied: user or password. Unavailable: a server stayed away.
//
// Errors of Insert, Query and Execute besides those of the embedded lake: Unavailable when a
// server stayed away for wait_seconds, Cancelled by `stop`.
absl::StatusOr<std::unique_ptr<Lake>> OpenCluster(const ClusterOptions& options);

// Whether a lake of ours is there. FailedPrecondition: what is there is of another program.
absl::StatusOr<bool> ClusterHasLake(const ClusterOptions& options);

// Drops the lake's tables on every server, and its databases when nothing else is in them.
// NotFound: there is no lake, nothing was dropped.
absl::Status DropCluster(const ClusterOptions& options);

}  // namespace stillwatch::lake
