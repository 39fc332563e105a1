// Passes: the same scan again and again over what the lake holds by then, each in a child process,
// and what follows from it: lasting identities, the gate, events, a snapshot, alerts.
//
// A pass is `stillwatch scan` without a log, so its findings are those of one scan over the same
// records, late ones included, by construction. Its memory and its crashes are the child's.
// Nothing here reads or writes the lake: the child does.
//
// What a restart at any moment finds: a pass counts from its commit to the store on. Before: its
// folder is removed and the next pass judges the same again. After: Open publishes its findings and
// offers its events again, so an alert may come twice, with the same id, and never not at all.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/campaign.h"
#include "watch/dismissal.h"
#include "watch/state.h"

namespace stillwatch::engine {

struct LiveOptions {
  std::string program;  // the stillwatch to run
  std::string lake;     // its --lake
  std::string dir;      // ours alone; holds a folder for each kept pass
  std::vector<std::string> flags;     // more for scan: --permits FILE, --known FILE, ...
  int64_t window_ms = int64_t{30} * 86'400'000;  // judged is [now - window, ever); 0: everything.
                                                 // Begins on a full hour
  int64_t interval_ms = 60'000;  // from the start of one pass to the next, at least,
  double rest = 1.5;             // and this often its duration (at least 1: passes never overlap)
  int threads = 1;
  int nice = 10;                             // of the child
  uint64_t memory_max = uint64_t{8} << 30;   // bytes of anonymous memory; more: killed
  int64_t time_max_ms = 30 * 60'000;         // longer: killed
  size_t keep = 2;                           // folders of committed passes, at least 1
  watch::GateOptions gate;                   // its window is set from window_ms
};

// A pass for those who act on it.
struct PassFindings {
  uint64_t pass = 0;
  int64_t began_ms = 0, ended_ms = 0, since_ms = 0;
  std::string dir;           // campaigns.json, accounts.csv, dossier/ under the ids of findings
  model::Findings findings;  // ids are the lasting ones; rows are not filled
  std::vector<std::string> finding_ids;  // those in dir
  std::vector<uint8_t> open;             // whether it may be told and acted upon (watch/gate.h)
  std::vector<double> bits_short;        // what the gate lacks, in bits
  std::vector<uint8_t> dismissed;        // it repeats what a person dismissed (watch/dismissal.h)
  std::vector<watch::Event> events;      // what changed with this pass
  uint64_t exchanges = 0, accounts = 0;  // judged
};

// The campaign as decisions may use it: one that is not open accuses nobody yet, so `distillation`
// becomes `unresolved`, its members' own verdicts too.
model::Campaign ForDecisions(const model::Campaign& campaign, bool open);

// Where passes are kept. Calls come from one thread at a time.
class LiveStore {
 public:
  virtual ~LiveStore() = default;
  // The bytes of the last commit; empty: there was none.
  virtual absl::StatusOr<std::string> Load() = 0;
  // Whole or not at all, durable when it returns.
  virtual absl::Status Commit(const PassFindings& pass, const watch::Identities& identities,
                              std::string_view bytes) = 0;
};

struct LiveHooks {
  std::function<int64_t()> now_ms;  // required
  // A number that changes whenever something was loaded into the lake, here or elsewhere; kept over
  // restarts, so it must not start anew with the process. A pass starts only when it differs.
  std::function<absl::StatusOr<uint64_t>()> mark;  // required
  // What people dismissed by now; an error is noted, and what was dismissed at the last pass stays
  // so for this one. May be null.
  std::function<absl::StatusOr<std::vector<watch::Dismissed>>()> dismissed;
  // Builds and swaps the snapshot. An error is noted and the pass stays committed.
  std::function<absl::Status(const PassFindings&)> publish;
  // Offers events to whoever is to be told; must not block for long. The pass is the one that they
  // came from. At least once.
  std::function<void(const PassFindings&)> alert;
  std::function<void(const std::string&)> note;  // one clear sentence for the log; required
};

struct LiveStats {
  uint64_t passes = 0, failed = 0, skipped = 0;  // skipped: nothing new
  uint64_t killed_memory = 0, killed_time = 0;
  int64_t last_began_ms = 0, last_ended_ms = 0;  // of the last that was committed
  int64_t last_duration_ms = 0;
  int64_t last_cpu_ms = 0;  // of the last child, as the next
  uint64_t last_peak_bytes = 0;
  uint64_t exchanges = 0, accounts = 0, campaigns = 0, open = 0;  // of it
  std::string last_error;  // empty when the last attempt succeeded
};

class LivePasses {
 public:
  // Loads the state, clears what was left, publishes the last pass again. FailedPrecondition when
  // the folder belongs to another process or the state to a newer program.
  static absl::StatusOr<std::unique_ptr<LivePasses>> Open(LiveOptions options, LiveHooks hooks,
                                                          LiveStore* store);
  ~LivePasses();  // Stop

  // One pass now, unless nothing is new; true when there was one. Not while Start's thread runs.
  absl::StatusOr<bool> RunOnce();
  void Start();  // passes of its own accord, in a thread
  void Stop();   // ends a running child; it will be judged again
  void Kick();   // the next pass starts as soon as it may, whether or not something is new
  LiveStats stats() const;  // any thread

  LivePasses(const LivePasses&) = delete;
  LivePasses& operator=(const LivePasses&) = delete;

 private:
  LivePasses(LiveOptions options, LiveHooks hooks, LiveStore* store);
  absl::Status Resume();
  absl::Status Attempt(uint64_t mark, int64_t since_ms);
  absl::Status Run(const std::string& dir, int64_t since_ms);
  absl::StatusOr<PassFindings> Read(const std::string& dir) const;
  void Tell(const PassFindings& pass);
  void Clear() const;
  void Loop();

  LiveOptions options_;
  LiveHooks hooks_;
  LiveStore* store_;
  int lock_ = -1;
  watch::Watched watched_;
  uint64_t mark_ = 0;
  int64_t since_ms_ = 0;
  std::string kept_;  // name of the last pass's folder
  bool any_ = false;  // a pass was committed ever
  std::vector<watch::Dismissed> dismissed_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false, kicked_ = false, retry_ = false;
  LiveStats stats_;
  std::thread thread_;
};

}  // namespace stillwatch::engine
