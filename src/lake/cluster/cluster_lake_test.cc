#include "lake/cluster/cluster_lake.h"

#include <gtest/gtest.h>

#include "lake/cluster/test_servers.h"
#include "lake/test_conformance.h"

namespace stillwatch::lake {
namespace {

// Servers of all cases; a case has databases of its own.
TestServers& One() {
  static TestServers servers(1);
  return servers;
}
TestServers& Three() {
  static TestServers servers(3);
  return servers;
}
std::string NewDatabase() {
  static int n = 0;
  return "lake" + std::to_string(n++);
}
std::string OneUrl() { return "clickhouse://" + One().host(0) + "/" + NewDatabase() + "?wait=10"; }
std::string ThreeUrl(int wait = 10) {
  return "clickhouse://" + Three().hosts() + "/" + NewDatabase() + "?cluster=" + kTestCluster +
         "&wait=" + std::to_string(wait);
}

ClusterOptions OptionsOf(const std::string& where) {
  ClusterOptions options;
  auto url = ParseLakeUrl(where);
  EXPECT_TRUE(url.ok()) << url.status();
  options.url = *url;
  options.insert_seconds = 20;
  options.silent_seconds = 20;
  options.settle_ms = 300;
  return options;
}
absl::StatusOr<std::unique_ptr<Lake>> OpenIt(const std::string& where) {
  return OpenCluster(OptionsOf(where));
}
void RemoveIt(const std::string& where) {
  const absl::Status dropped = DropCluster(OptionsOf(where));
  EXPECT_TRUE(dropped.ok()) << dropped;
}

INSTANTIATE_TEST_SUITE_P(Cluster, LakeConformance,
                         testing::Values(LakeUnderTest{"one_server", OneUrl, OpenIt, RemoveIt},
                                         LakeUnderTest{"three_servers", [] { return ThreeUrl(); },
                                                       OpenIt, RemoveIt}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace stillwatch::lake
