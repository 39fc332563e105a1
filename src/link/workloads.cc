#include "link/workloads.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "base/sorted.h"

namespace stillwatch::link {
namespace {

using Profile = std::array<double, model::kCapabilities>;

// An account with decoding settings that it used for a job.
struct Manner {
  uint64_t key = 0;  // account, settings
  uint64_t rows = 0;
  uint32_t account() const { return static_cast<uint32_t>(key >> 32); }
};

struct Job {
  uint32_t family = kNone;  // of its first template
  std::vector<uint32_t> templates;
  std::vector<uint32_t> accounts;  // ascending
  std::vector<uint32_t> counts;    // exchanges of each
  uint64_t rows = 0;
  Profile profile{};
  std::vector<Manner> manners;  // ascending
};

// How many accounts would carry both if one queue dealt out both: an account that carries one of
// them n times carries the other unless n chances have missed it. A phrase that strangers use as
// well has many carriers who never get the other one.
double DealtTogether(const Job& x, const Job& y) {
  const auto expected = [](const Job& of, const Job& other) {
    const double rate = static_cast<double>(other.rows) / static_cast<double>(of.rows);
    double out = 0;
    for (const uint32_t n : of.counts) out += 1 - std::exp(-rate * n);
    return out;
  };
  return std::max(expected(x, y), expected(y, x));
}

double Cosine(const Profile& a, const Profile& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// Of the exchanges of `x` by accounts that do `y` as well, the share in settings in which the same
// account does `y`: 1 where an account has one way to work, whatever the other accounts' is.
double InTheManner(const Job& x, const Job& y) {
  double both = 0, alike = 0;
  auto other = y.manners.begin();
  for (const Manner& m : x.manners) {
    other = std::lower_bound(other, y.manners.end(), m.key & ~uint64_t{0xffffffff},
                             [](const Manner& a, uint64_t key) { return a.key < key; });
    for (auto at = other; at != y.manners.end() && at->account() == m.account(); ++at) {
      if (at == other) both += static_cast<double>(m.rows);
      if (at->key == m.key) alike += static_cast<double>(m.rows);
    }
  }
  return both > 0 ? alike / both : 0;
}

// The same of a job and itself: who changes settings with every exchange has none in common.
double InItsManner(const Job& x) {
  double again = 0;
  for (const Manner& m : x.manners) again += m.rows > 1 ? static_cast<double>(m.rows) : 0;
  return again / static_cast<double>(std::max<uint64_t>(1, x.rows));
}

// Sorts them and adds up those of one key.
void Gather(std::vector<Manner>* manners) {
  std::sort(manners->begin(), manners->end(),
            [](const Manner& a, const Manner& b) { return a.key < b.key; });
  size_t n = 0;
  for (const Manner& m : *manners) {
    if (n > 0 && (*manners)[n - 1].key == m.key)
      (*manners)[n - 1].rows += m.rows;
    else
      (*manners)[n++] = m;
  }
  manners->resize(n);
}

}  // namespace

std::vector<Workload> FindWorkloads(const Log& log, const std::vector<Template>& templates,
                                    const WorkloadOptions& options) {
  uint32_t active = 0;
  for (uint32_t a = 0; a < log.accounts(); ++a) active += log.Exchanges(a) > 0;

  std::vector<Job> jobs;
  std::unordered_map<uint32_t, std::vector<uint32_t>> jobs_of;  // account -> jobs
  std::unordered_map<uint32_t, uint32_t> job_of_family;
  for (uint32_t t = 0; t < templates.size(); ++t) {
    Job job;
    job.templates = {t};
    job.family = templates[t].family;
    for (const uint32_t row : templates[t].rows) {
      // Rows ascend, and so do their accounts.
      if (job.accounts.empty() || job.accounts.back() != log.row_account[row]) {
        job.accounts.push_back(log.row_account[row]);
        job.counts.push_back(0);
      }
      ++job.counts.back();
      ++job.profile[static_cast<int>(LongFeatures(log.features[row]).capability)];
      const uint64_t key = uint64_t{log.row_account[row]} << 32 | log.settings[row];
      if (!job.manners.empty() && job.manners.back().key == key)
        ++job.manners.back().rows;
      else
        job.manners.push_back({key, 1});
    }
    Gather(&job.manners);
    job.rows = templates[t].rows.size();

    std::vector<uint32_t> candidates;
    for (const uint32_t a : job.accounts) {
      const auto it = jobs_of.find(a);
      if (it != jobs_of.end()) {
        candidates.insert(candidates.end(), it->second.begin(), it->second.end());
      }
    }
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    uint32_t best = kNone;
    double best_lift = 0;
    if (const auto it = job_of_family.find(job.family); it != job_of_family.end()) best = it->second;
    const bool by_family = best != kNone;
    for (const uint32_t j : candidates) {
      if (by_family) break;
      const size_t common = base::CountCommon(job.accounts, jobs[j].accounts);
      const double smaller = static_cast<double>(std::min(job.accounts.size(), jobs[j].accounts.size()));
      const double chance = static_cast<double>(job.accounts.size()) *
                            static_cast<double>(jobs[j].accounts.size()) / std::max(1u, active);
      if (common < options.shared_min ||
          static_cast<double>(common) < options.overlap_min * smaller ||
          static_cast<double>(common) < options.lift_min * chance ||
          static_cast<double>(common) < options.dealt_min * DealtTogether(job, jobs[j]) ||
          Cosine(job.profile, jobs[j].profile) < options.purpose_min ||
          InTheManner(job, jobs[j]) < options.manner_min * InItsManner(jobs[j])) {
        continue;
      }
      const double lift = static_cast<double>(common) / smaller;
      if (best == kNone || lift > best_lift + 1e-12) {
        best = j;
        best_lift = lift;
      }
    }
    if (best == kNone) {
      best = static_cast<uint32_t>(jobs.size());
      jobs.push_back(std::move(job));
      for (const uint32_t a : jobs[best].accounts) jobs_of[a].push_back(best);
      job_of_family.emplace(jobs[best].family, best);
      continue;
    }
    job_of_family.emplace(job.family, best);
    Job& into = jobs[best];
    into.templates.push_back(t);
    for (size_t c = 0; c < into.profile.size(); ++c) into.profile[c] += job.profile[c];
    into.rows += job.rows;
    into.manners.insert(into.manners.end(), job.manners.begin(), job.manners.end());
    Gather(&into.manners);
    std::vector<uint32_t> both, counts;
    for (size_t i = 0, j = 0; i < into.accounts.size() || j < job.accounts.size();) {
      const bool here = i < into.accounts.size() &&
                        (j == job.accounts.size() || into.accounts[i] <= job.accounts[j]);
      const bool there = j < job.accounts.size() &&
                         (i == into.accounts.size() || job.accounts[j] <= into.accounts[i]);
      both.push_back(here ? into.accounts[i] : job.accounts[j]);
      counts.push_back((here ? into.counts[i] : 0) + (there ? job.counts[j] : 0));
      if (!here) jobs_of[both.back()].push_back(best);
      i += here;
      j += there;
    }
    into.accounts = std::move(both);
    into.counts = std::move(counts);
  }

  std::vector<Workload> out;
  for (Job& job : jobs) {
    Workload w;
    w.templates = std::move(job.templates);
    std::sort(w.templates.begin(), w.templates.end());
    w.rows = job.rows;
    out.push_back(std::move(w));
  }
  return out;
}

}  // namespace stillwatch::link
