// The embedded lake of this process, served to others on a Unix socket in the part of ClickHouse's
// HTTP protocol that lake/cluster speaks: one client serves servers and this.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/embedded/embedded_lake.h"

namespace stillwatch::lake {

struct HostOptions {
  std::string socket;  // made with mode 0600, gone at the end
  EmbeddedOptions lake;
  pid_t parent = 0;  // if set: end when this is no longer the parent
  const std::atomic<bool>* stop = nullptr;
};

// Connections that are served at a time, further ones wait; one request each. Nested queries hold
// several (kEmbeddedConnectionsMax bounds those that reach the engine).
inline constexpr int kHostConnectionsMax = 24;
inline constexpr size_t kHostBodyBytesMax = size_t{1} << 30;
inline constexpr int kHostReceiveSeconds = 60;  // without a byte of a request
inline constexpr int kHostSendSeconds = 600;    // without a byte taken by the client
inline constexpr int kHostDrainSeconds = 10;    // for running statements, once told to stop

// Opens the lake (errors of OpenEmbedded: Unavailable when another process has the folder),
// migrates it, listens and serves until `stop` or the parent's end. AlreadyExists: a process
// listens on the socket. Gives whether every statement had ended within kHostDrainSeconds; if not,
// threads are still inside the engine and the process must end without destructors (what was
// acknowledged is kept).
absl::StatusOr<bool> HostLake(const HostOptions& options);

}  // namespace stillwatch::lake
