// The yardstick of a scan: bare_group_by FILE THREADS LAKE
//
// Counts the exchanges of each account of FILE with the embedded engine's own reader, its cache of
// row counts off, and prints `seconds accounts exchanges`. LAKE is a folder for the engine's state.
// The engine's start is not counted, to its advantage.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/str.h"
#include "lake/embedded/embedded_lake.h"

int main(int argc, char** argv) {
  using stillwatch::base::StrCat;
  if (argc != 4) {
    std::fprintf(stderr, "usage: bare_group_by FILE THREADS LAKE\n");
    return 2;
  }
  auto lake = stillwatch::lake::OpenEmbedded({.path = argv[3], .threads = std::atoi(argv[2])});
  if (!lake.ok()) {
    std::fprintf(stderr, "bare_group_by: %s\n", std::string(lake.status().message()).c_str());
    return 1;
  }
  const std::string file = std::filesystem::absolute(argv[1]).string();
  const std::string sql =
      StrCat("SELECT account_id, count() AS n FROM file(", stillwatch::lake::SqlString(file),
             ", 'JSONEachRow', 'account_id String') GROUP BY account_id "
             "SETTINGS use_cache_for_count_from_files = 0, max_threads = ", argv[2]);
  uint64_t accounts = 0, exchanges = 0;
  const auto begin = std::chrono::steady_clock::now();
  const absl::Status status = (*lake)->Query(sql, [&](const stillwatch::lake::Block& block) {
    accounts += block.rows();
    for (const uint64_t n : block.columns[1].As<std::vector<uint64_t>>()) exchanges += n;
    return absl::OkStatus();
  });
  const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!status.ok()) {
    std::fprintf(stderr, "bare_group_by: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("%.4f %llu %llu\n", s, static_cast<unsigned long long>(accounts), static_cast<unsigned long long>(exchanges));
}
