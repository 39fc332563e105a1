// Where a lake is: a folder, a ClickHouse server or cluster, or a socket on which one is served.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::lake {

// clickhouse://[user[:password]@]host[:port][,host2[:port]...]/database[?cluster=NAME][&wait=SECONDS][&secure=1]
// unix:PATH
struct LakeUrl {
  std::string socket;              // of unix:, else empty
  std::vector<std::string> hosts;  // "host:port" of the HTTP interface, IPv6 in brackets
  std::string user = "default", password;
  std::string database;
  std::string cluster;        // empty: the one server
  int wait_seconds = 120;     // how long a call waits for a server that does not answer
  bool secure = false;        // HTTPS
  std::string ca_file;        // PEM file that vouches for the servers; empty: the system's
  std::string Shown() const;  // for messages: without the password
};

// Whether `where` names a served lake rather than a folder.
bool IsLakeUrl(std::string_view where);

// InvalidArgument says what is wrong and shows the form; the password is in no message.
absl::StatusOr<LakeUrl> ParseLakeUrl(std::string_view text);

// What is not in the URL. The password: $STILLWATCH_LAKE_PASSWORD, else the first line of the file
// $STILLWATCH_LAKE_PASSWORD_FILE, unless the URL has one. Of HTTPS whom to trust:
// $STILLWATCH_LAKE_CA_FILE.
absl::Status TakeEnvironment(LakeUrl* url);

}  // namespace stillwatch::lake
