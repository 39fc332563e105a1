// One scan: logs into the lake, the lake into findings, findings into files.
//
// The log goes in as blocks of lake::kInsertRows, sketched by as many workers as `threads`; what is
// judged is read back as integers (engine/log_builder.h), unless the lake was empty and is ours
// alone: then rows go both ways at once.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/source.h"
#include "judge/judge.h"
#include "lake/lake.h"
#include "model/account.h"
#include "model/campaign.h"

namespace stillwatch::engine {

// All that is pointed to outlives the call. Callbacks come from the thread that called Scan, but
// `note`, which comes from any.
struct ScanInput {
  ingest::Source* source = nullptr;  // null: judge what the lake holds
  std::string source_name;           // for the journal: paths as given
  // Calls back for each account record; null: none.
  std::function<absl::Status(const std::function<absl::Status(const lake::Block&)>& on_block,
                             const std::function<absl::Status(model::Reject)>& reject)> accounts;
  lake::Lake* lake = nullptr;
  std::string out;             // folder of the results; must exist
  int64_t since_ms = INT64_MIN, until_ms = INT64_MAX;
  int threads = 1;
  bool strict = false;
  enum { kNone, kCsv, kParquet } attribution = kCsv;  // how attributed exchanges are listed
  bool trial = false;  // the lake's table `attributed` stays as it is; results as csv or none
  uint32_t specimens = 0;      // texts kept per template (engine/specimens.h)
  int64_t now_ms = 0;          // when their time begins; nothing else reads it
  judge::JudgeOptions judge;
  std::function<void(model::Campaign*)> enrich;  // may be null
  ingest::Progress* progress = nullptr;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string&)> note;  // one clear sentence for the person
  std::function<void(const std::string&)> stage;  // "reading", "linking", ...
};

struct ScanResult {
  model::Findings findings;
  uint64_t read = 0, rejected = 0, conflicts = 0;
  uint64_t exchanges = 0, accounts = 0;  // judged
  size_t candidates = 0, templates = 0;
  std::vector<judge::WeighedCandidate> weighed;
  std::vector<std::pair<std::string, double>> seconds;  // per stage
};

// Writes campaigns.json, accounts.csv, exchanges.csv, explain.jsonl, rejected.jsonl and dossiers
// into input.out, all or none of them. CancelledError when *stop was set: what was read stays in
// the lake and the next scan says so. InvalidArgument when the log cannot be read, or a record of
// it under `strict`: then nothing of it stays. Other errors are the lake's (lake/lake.h) and the
// disk's; what was read by then stays and counts once. One scan at a time in a folder of results.
absl::StatusOr<ScanResult> Scan(const ScanInput& input);

}  // namespace stillwatch::engine
